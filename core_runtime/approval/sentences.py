"""The sentences of a plan, in English and Japanese, in one place. Words for people; nothing is decided here."""

from __future__ import annotations

LANGUAGES = ("en", "ja")

Sentence = dict[str, str]

_TEXTS: dict[str, tuple[str, str]] = {
    "unsigned": ("Nobody signed it, so who wrote it is only claimed.", "署名がないため、作者は自称にすぎません。"),
    "high": (
        "It wants {0}, which can do lasting harm.",
        "{0} を求めています。取り返しのつかない害を与えうる権限です。",
    ),
    "critical": (
        "It wants {0}, which can take over this computer.",
        "{0} を求めています。このコンピューターを乗っ取りうる権限です。",
    ),
    "background": ("It acts on its own, without being called: {0}.", "呼び出されなくても自分で動きます: {0}"),
    "network": ("It talks to the network: {0}.", "ネットワークと通信します: {0}"),
    "everything": ('It asks for everything ("*") in {0}.', "{0} で「*」(すべて)を求めています。"),
    "doors": (
        "It opens doors to visitors who are not signed in: {0}.",
        "サインインしていない訪問者に入口を開きます: {0}",
    ),
    "others": ("It calls interfaces of other packs: {0}.", "ほかのパックのインターフェースを呼び出します: {0}"),
    "modifiers": ("It proposes changes to flows of others: {0}.", "ほかのフローへの変更を提案します: {0}"),
    "resources": ("It asks for more than the usual resources: {0}.", "通常より多くの資源を求めています: {0}"),
    "same_version": (
        "Its files changed, but its version is still {0}.",
        "ファイルは変わりましたが、バージョンは {0} のままです。",
    ),
    "older_version": (
        "Version {0} is older than {1}, which was approved before.",
        "バージョン {0} は、以前承認した {1} より古いものです。",
    ),
    "identity": (
        "Its identity or signer is not the one that was approved under this id: it cannot be approved.",
        "作者または署名者が、この ID で承認されたものと違うため、承認できません。",
    ),
    "key_locked": (
        "The signing key cannot be believed ({0}). Approving makes a new one and voids all earlier approvals.",
        "署名鍵が信頼できません({0})。承認すると新しい鍵を作ります。以前の承認・許可・トークンはすべて無効になり、証拠として残ります。",
    ),
    "tampered": (
        "Its earlier approval cannot be believed: {0}. It counts for nothing.",
        "以前の承認は信頼できません: {0}。無効として扱います。",
    ),
    "one_domain": (
        "Whoever calls it shares one memory inside it: while it serves you, it could act for you in another's call.",
        "呼び出し元はみな、このパックの中で同じメモリーを共有します。他者の呼び出しの中であなたとして動くこともできます。",
    ),
    "missing": ("It cannot be switched on yet: {0}", "まだ有効にできません: {0}"),
}


def sentence(key: str, *values: str) -> Sentence:
    """One sentence in every language, with its values filled in."""
    return {language: text.format(*values) for language, text in zip(LANGUAGES, _TEXTS[key], strict=True)}
