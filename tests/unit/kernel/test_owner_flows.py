"""The owner's flows run only as the bytes that he approved."""

import pytest

from core_runtime.canonical import sha256_hex
from core_runtime.errors import ApprovalDenied, Conflict, NotFound, ValidationFailed
from core_runtime.flows.book import FlowBook
from core_runtime.kernel.diagnostics import DiagnosticsBook
from core_runtime.kernel.owner_flows import OwnerFlows

FLOW = b"flow_id: mine\nsteps:\n  - {id: a, set: {x: 1}}\n"
OTHER = FLOW.replace(b"x: 1", b"x: 2")


class Files:
    """A folder in memory."""

    def __init__(self, **files: bytes) -> None:
        self.files = {f"{name}.flow.yaml": data for name, data in files.items()}

    def of_owner(self):
        return sorted(self.files.items())


class Document:
    """A signed document in memory; `tampered` makes it unbelievable."""

    def __init__(self) -> None:
        self.value: dict[str, object] = {}
        self.tampered = False

    def load(self):
        if self.tampered:
            raise Conflict("it cannot be believed")
        return self.value

    def save(self, value):
        self.value = dict(value)


class Trail:
    """Remembers; `broken` refuses."""

    def __init__(self) -> None:
        self.entries: list[object] = []

    def append(self, entry):
        self.entries.append(entry)
        return len(self.entries)

    async def durable(self, seq):
        assert seq == len(self.entries)


@pytest.fixture
def made(clock):
    files, document, book, diagnostics, trail = Files(mine=FLOW), Document(), FlowBook(), DiagnosticsBook(), Trail()
    flows = OwnerFlows(files, document, book, diagnostics=diagnostics, audit=trail, clock=clock)
    return flows, files, document, book, diagnostics, trail


async def test_a_new_file_is_pending_and_does_not_run(made):
    flows, _, _, book, _, _ = made
    await flows.load()
    with pytest.raises(ApprovalDenied) as caught:
        book.active("mine")
    assert caught.value.hint == "rumi flow approve mine.flow.yaml"


async def test_approving_lets_exactly_these_bytes_run(made):
    flows, files, _, book, _, trail = made
    answer = await flows.approve("mine.flow.yaml", None, by="owner")
    assert answer["digest"] == sha256_hex(FLOW)
    assert book.active("mine").flow_id == "mine"
    assert trail.entries[0].details["digest"] == sha256_hex(FLOW)
    files.files["mine.flow.yaml"] = OTHER
    await flows.load()
    with pytest.raises(ApprovalDenied):
        book.active("mine")
    files.files["mine.flow.yaml"] = FLOW
    await flows.load()
    assert book.active("mine").flow_id == "mine"


async def test_another_digest_than_the_one_named_is_a_conflict(made):
    flows, files, document, _, _, _ = made
    files.files["mine.flow.yaml"] = OTHER
    with pytest.raises(Conflict):
        await flows.approve("mine.flow.yaml", sha256_hex(FLOW), by="owner")
    assert document.value == {}


async def test_a_broken_file_is_not_approved_and_is_named(made):
    flows, files, document, _, diagnostics, _ = made
    files.files["mine.flow.yaml"] = b"flow_id: mine\nsteps: 3\n"
    with pytest.raises(ValidationFailed):
        await flows.approve("mine.flow.yaml", None, by="owner")
    assert document.value == {}
    assert await flows.load() == 1
    assert diagnostics.all()[0].code == "FLOW_OFF:mine.flow.yaml"


async def test_only_files_of_the_folder_can_be_named(made):
    for name in ("other.flow.yaml", "../mine.flow.yaml", "/etc/passwd", ""):
        with pytest.raises(NotFound):
            await made[0].approve(name, None, by="owner")


async def test_a_list_that_cannot_be_believed_approves_nothing(made):
    flows, _, document, book, diagnostics, _ = made
    await flows.approve("mine.flow.yaml", None, by="owner")
    document.tampered = True
    await flows.load()
    with pytest.raises(ApprovalDenied):
        book.active("mine")
    assert diagnostics.all()[0].code == "FLOW_APPROVALS"


async def test_a_file_that_is_gone_is_a_flow_that_is_gone(made):
    flows, files, _, book, _, _ = made
    await flows.approve("mine.flow.yaml", None, by="owner")
    files.files.clear()
    await flows.load()
    with pytest.raises(NotFound):
        book.active("mine")
