"""The help of the commands in Japanese; the English text is the key."""

from __future__ import annotations

from collections.abc import Mapping

JAPANESE_HELP: Mapping[str, str] = {
    "Rumi: strangers' packs, approved by hash, in containers without a network.": (
        "Rumi: 他人のパックをハッシュで承認し、ネットワークのないコンテナで動かします。"
    ),
    "Packs: what is there, what it wants, yes or no.": "パック: 一覧、求める権限、承認と却下。",
    "Grants: which pack may use which permission.": "許可: どのパックがどの権限を使えるか。",
    "The permissions that there are.": "権限の一覧。",
    "Flows: check, approve, run.": "フロー: 検査、承認、実行。",
    "What packs keep.": "パックが保存しているもの。",
    "The audit trail.": "監査ログ。",
    "API tokens.": "API トークン。",
    "One JSON document on standard output.": "標準出力に JSON を一つ出します。",
    "A kernel at this address instead of run/admin.sock.": (
        "run/admin.sock の代わりに、このアドレスのカーネルを使います。"
    ),
    "File with an API token (else RUMI_TOKEN).": "API トークンのファイル (なければ RUMI_TOKEN)。",
    "en or ja; else by locale.": "en か ja。なければロケールに従います。",
    "The pack's id.": "パックの ID。",
    "List every pack with its state.": "すべてのパックと状態を表示します。",
    "Show one pack.": "パックを一つ表示します。",
    "Show what approving a pack would mean: files, permissions, rating.": (
        "承認すると何が起きるかを表示します: ファイル、権限、評価。"
    ),
    "Show text differences whole.": "差分を省略せずに表示します。",
    "Approve only if the plan still has this hash.": "プランがこのハッシュのままのときだけ承認します。",
    "What to grant; else every required permission as declared.": (
        "許可する権限。なければ必須の権限を宣言どおりに許可します。"
    ),
    "Do not ask.": "確認しません。",
    "Approve exactly these bytes of a pack, and grant what it needs.": (
        "パックのこの内容をそのまま承認し、必要な権限を許可します。"
    ),
    "Why, for the record.": "理由 (記録用)。",
    "Say no to these bytes of a pack; the third time blocks it.": (
        "パックのこの内容を却下します。三回目でブロックされます。"
    ),
    "Let a blocked pack ask again.": "ブロックされたパックを再び申請できるようにします。",
    "Stop a pack and keep it stopped.": "パックを止め、止めたままにします。",
    "Undo disable.": "disable を取り消します。",
    "How many lines.": "行数。",
    "Go on until Ctrl-C.": "Ctrl-C まで続けます。",
    "Show what a pack wrote into its log.": "パックのログを表示します。",
    "The pack's folder.": "パックのフォルダー。",
    "Print the digest of a pack folder; works without a kernel.": (
        "パックのダイジェストを表示します。カーネルは不要です。"
    ),
    "Whose grant it is.": "対象のパック。",
    "Such as store.get.": "例: store.get",
    "End after 30s, 15m, 12h, 7d or 2w.": "期限: 30s、15m、12h、7d、2w など。",
    "Only those of this pack.": "このパックのものだけ。",
    "List grants.": "許可を一覧します。",
    "Name a version older than one approved before.": "以前に承認した版より古い版を名指しします。",
    "Narrow it: a JSON object, k:=JSON or @FILE; else as declared.": (
        "絞り込み: JSON オブジェクト、k:=JSON、@ファイル。なければ宣言どおり。"
    ),
    "Else by the permission's risk.": "なければ権限のリスクに従います。",
    "End after so many uses.": "この回数だけ使えます。",
    "Give a pack a permission that it declares.": "パックが宣言した権限を許可します。",
    "Take a permission away; it holds at once.": "許可を取り消します。すぐに効きます。",
    "List the permissions that there are.": "権限を一覧します。",
    "Show one permission with its configuration and arguments.": "権限を一つ、設定と引数とともに表示します。",
    "A name for it.": "名前。",
    "What it may do; repeatable.": "できること。繰り返し指定できます。",
    "Make an API token; it is shown this once.": "API トークンを作ります。一度だけ表示されます。",
    "List API tokens; never a token itself.": "API トークンを一覧します (トークン自体は表示しません)。",
    "Its name or id.": "名前か ID。",
    "End an API token; it holds at once.": "API トークンを失効させます。すぐに効きます。",
    "Give up after 30s, 15m, ...": "待つ時間の上限: 30s、15m など。",
    "The flow's id.": "フローの ID。",
    "List every flow.": "すべてのフローを表示します。",
    "A flow file.": "フローのファイル。",
    "Check a flow file and list all its mistakes; works without a kernel.": (
        "フローのファイルを検査し、誤りをすべて表示します。カーネルは不要です。"
    ),
    "A flow file in the flows folder of the profile.": "プロファイルの flows フォルダーにあるファイル。",
    "Approve a flow of your own, exactly as the file is now.": "自分のフローを、今のファイルの内容のまま承認します。",
    "k=text, k:=JSON or @FILE.": "k=文字列、k:=JSON、@ファイル。",
    "Do not wait for its end.": "終わりを待ちません。",
    "Run a flow and print its outputs.": "フローを実行し、出力を表示します。",
    "Show a flow as it runs, with the author of every step.": (
        "実際に動くフローを、各ステップの作者とともに表示します。"
    ),
    "Such as service.hello.": "例: service.hello",
    "Call an interface and print what it returns.": "インターフェースを呼び、返り値を表示します。",
    "List the keys of this store.": "このストアのキーを一覧します。",
    "Only keys that begin so.": "この文字列で始まるキーだけ。",
    "List stores, or the keys of one.": "ストア、または一つのストアのキーを一覧します。",
    "Which store.": "ストア。",
    "Which key.": "キー。",
    "Print one value of a store.": "ストアの値を一つ表示します。",
    "Only lines of this category.": "この分類の行だけ。",
    "Approve the packs that this version lists by digest.": "この版がダイジェストで載せているパックを承認します。",
    "Run the kernel until Ctrl-C.": "Ctrl-C までカーネルを動かします。",
    "Show every setting and where it comes from.": "すべての設定とその由来を表示します。",
    "Show how the kernel is.": "カーネルの状態を表示します。",
    "Check everything and say how to mend what is wrong; works without a kernel.": (
        "すべてを検査し、直し方を表示します。カーネルは不要です。"
    ),
    "Such as P1; else all.": "例: P1。なければすべて。",
    "Measure the promises about speed on this computer.": "速さの約束をこのコンピューターで測ります。",
    "Show the newest lines of the audit trail.": "監査ログの新しい行を表示します。",
    "Only lines about this pack.": "このパックの行だけ。",
    "Only this action.": "この操作だけ。",
    "Only this outcome.": "この結果だけ。",
    "Only this request.": "このリクエストだけ。",
    "Only the last 15m, 12h, 7d, ...": "最近の 15m、12h、7d などだけ。",
    "Search the audit trail.": "監査ログを検索します。",
    "Check that no line of the audit trail was changed or lost; works without a kernel.": (
        "監査ログの行が変更も紛失もされていないことを確かめます。カーネルは不要です。"
    ),
}
