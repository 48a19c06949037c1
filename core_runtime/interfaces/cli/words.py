"""The words of the command line in Japanese; English is written where it is used and is the key here.

A text that is missing here is shown in English. A test goes through every command's help and every text on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping

from core_runtime.interfaces.cli.words_help import JAPANESE_HELP

LANGUAGES = ("en", "ja")

_JAPANESE: Mapping[str, str] = {
    "Expected {what}.": "想定: {what}",
    "Did you mean {name}?": "{name} のことですか?",
    "Nothing here.": "何もありません。",
    "Nothing is wrong.": "問題はありません。",
    "Nothing was approved.": "何も承認していません。",
    "Approve exactly this?": "この内容をそのまま承認しますか?",
    "Keep it now: it is not shown again.": "今すぐ保管してください。二度と表示されません。",
    "{pack} is now {state}.": "{pack} の状態: {state}",
    "{pack} may now use {permission}.": "{pack} は {permission} を使えるようになりました。",
    "{pack} may no longer use {permission}.": "{pack} は {permission} を使えなくなりました。",
    "{token} has ended.": "{token} を失効させました。",
    "{file} is a flow without mistakes.": "{file} に誤りはありません。",
    "The trail is whole: {lines} lines in {files} files.": "監査ログは完全です: {files} ファイル、{lines} 行。",
    "The trail is broken at {place}.": "監査ログは次の箇所で壊れています: {place}",
    "rumi --help lists what there is.": "rumi --help で一覧を表示します。",
    "ok": "正常",
    "info": "情報",
    "warning": "警告",
    "problem": "問題",
    "To approve exactly this:": "この内容をそのまま承認するには:",
    "Identity": "出所",
    "Signed by": "署名者",
    "nobody": "なし",
    "State": "状態",
    "Digest": "ダイジェスト",
    "Files": "ファイル",
    "no change": "変更なし",
    "added": "追加",
    "changed": "変更",
    "removed": "削除",
    "... {count} more lines: --full": "... あと {count} 行 (--full で全部)",
    "... {count} more files: --full": "... あと {count} 個 (--full で全部)",
    "program": "プログラム",
    "Permissions": "権限",
    "it asks for nothing": "何も求めていません",
    "it says:": "作者の説明:",
    "optional": "任意",
    "required": "必須",
    "in the background too": "裏でも使う",
    "NEW": "新規",
    "WIDER than before": "前より拡大",
    "narrower than before": "前より縮小",
    "as before": "前と同じ",
    "no longer wanted": "不要になった",
    "low": "低",
    "medium": "中",
    "HIGH": "高",
    "CRITICAL": "重大",
    "Rating": "評価",
    "{rating} of 8": "8 点中 {rating} 点",
    "interfaces": "インターフェース",
    "components": "コンポーネント",
    "routes": "ルート",
    "flows": "フロー",
    "modifiers": "モディファイア",
    "calls": "呼び出す相手",
    "hosts": "接続先",
    "secrets": "シークレット",
    "dependencies": "依存関係",
    "artifacts": "アーティファクト",
    "approved version": "承認済みの版",
    "grants": "今の許可",
    "environment": "環境",
    "notes": "注意",
    "subscriptions": "購読",
    "blocks": "ブロック",
    "settings": "設定",
    "stores": "ストア",
    "sandbox": "サンドボックス",
    "children": "子パック",
    "called": "呼び出す相手にできること",
    "requires": "必要なもの",
    "pack id": "パック",
    "state": "状態",
    "Approved": "承認済みの版",
    "never": "なし",
    "version": "版",
    "rating": "評価",
    "digest": "ダイジェスト",
    "principal": "対象",
    "permission": "権限",
    "mode": "方式",
    "expires at": "期限",
    "config": "設定",
    "risk": "リスク",
    "sentence": "説明",
    "name": "名前",
    "scopes": "範囲",
    "created at": "作成",
    "last used at": "最終使用",
    "flow id": "フロー",
    "owner": "所有者",
    "description": "説明",
    "store": "ストア",
    "keys": "キー数",
    "bytes": "バイト",
    "quota bytes": "上限",
    "key": "キー",
    "variable": "変数",
    "value": "値",
    "source": "由来",
    "kind": "種類",
    "phase": "段階",
    "author": "作者",
}


def translate(text: str, language: str) -> str:
    """`text` in `language`, or as it is."""
    if language != "ja":
        return text
    return _JAPANESE.get(text) or JAPANESE_HELP.get(text) or text


def choose_language(wanted: object = None) -> str:
    """The language asked for, else that of the locale (LC_ALL, LC_MESSAGES, LANG), else English."""
    if wanted is not None:
        return str(wanted) if str(wanted) in LANGUAGES else "en"
    from core_runtime.settings import environment_value

    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment_value(variable)
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"
