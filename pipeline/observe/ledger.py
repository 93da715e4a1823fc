"""The ledger of a finished run: all that went in is shown to have come out, or why not."""

from collections.abc import Sequence

from rich import box
from rich.console import JustifyMethod
from rich.table import Table

from pipeline.errors import LedgerError
from pipeline.observe.status import HostStatus
from pipeline.queue.overload import HIGHEST, Overload, step_name
from pipeline.report import LOSSES, StageReport
from pipeline.stage import Account

__all__ = [
    "check_ledger",
    "clock_lines",
    "ledger_table",
    "overload_line",
    "queue_table",
    "remark_lines",
    "silence_lines",
    "timing_lines",
]

_COLUMNS = ("stage", "in", "used", "refused", "out", "due")
_FEWER_COLUMNS = ("stage", "in", "refused", "out")


def check_ledger(reports: Sequence[StageReport]) -> None:
    """Hold the reports of a drained run to the laws of conservation.

    Raises:
        LedgerError: a stage or a queue took in what it did not account for; this is a bug of the
            stage that is named.
    """
    problems = [problem for report in reports for problem in _stage_problems(report)]
    received = {count.name: count for report in reports for count in report.received}
    heard_of = {count.name for report in reports for count in report.sent}
    for name in sorted(received.keys() - heard_of):
        problems.append(f"queue {name}: its sender has not reported")
    for report in reports:
        for sent in report.sent:
            got = received.get(sent.name)
            if got is None or (got.messages, got.units) != (sent.messages, sent.units):
                problems.append(
                    f"queue {sent.name}: {sent.messages} messages with {sent.units} units were"
                    f" sent, {got.messages if got else 0} with {got.units if got else 0} received"
                )
            elif got.lost != sent.lost:
                problems.append(
                    f"queue {sent.name}: its sender gave up {sent.lost or 'nothing'}, its receiver"
                    f" was told of {got.lost or 'nothing'}"
                )
    if problems:
        raise LedgerError("the ledger does not balance: " + "; ".join(problems))


def _stage_problems(report: StageReport) -> list[str]:
    account = report.account
    received = sum(count.arrived for count in report.received)
    if account is None:
        nothing = f"stage '{report.name}' accounts for nothing, {received} units arrived"
        return [nothing] if received else []
    problems = []
    refused = sum(account.refused.values())
    if account.taken != account.used + refused:
        problems.append(
            f"stage '{report.name}' took {account.taken} {account.unit_in},"
            f" used {account.used} and refused {refused}"
        )
    if account.due is not None and account.due != account.made:
        problems.append(
            f"stage '{report.name}' made {account.made} {account.unit_out}, due were {account.due}"
        )
    for count in report.sent:
        told = account.refused.get(count.output, 0)
        if count.output and count.units != told:
            problems.append(
                f"stage '{report.name}' refused {told} {account.unit_in} as {count.output},"
                f" {count.units} were put into {count.name}"
            )
    if report.received and received != account.taken:
        problems.append(
            f"stage '{report.name}' accounts for {account.taken} {account.unit_in},"
            f" {received} arrived in its queues"
        )
    return problems


def ledger_table(reports: Sequence[StageReport], width: int | None = None) -> Table:
    """Return the ledger as a table, a row a stage.

    Args:
        reports: of the stages.
        width: of the terminal. Where it has no room for all columns without breaking a number from
            its unit, those are left out that follow from others: used, in less refused; and due,
            which is what came out.
    """
    rows = [_row(report) for report in reports]
    fits = width is None or _width(rows, _COLUMNS) <= width
    names = _COLUMNS if fits else _FEWER_COLUMNS
    fits = width is None or _width(rows, names) <= width
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="ledger", title_justify="left")
    for name in names:
        wraps = name == "refused"
        left = wraps or name == "stage"
        justify: JustifyMethod = "left" if left else "right"
        table.add_column(name, justify=justify, no_wrap=fits and not wraps, overflow="fold")
    for row in rows:
        table.add_row(*(cell for name, cell in zip(_COLUMNS, row, strict=True) if name in names))
    return table


def _row(report: StageReport) -> tuple[str, ...]:
    account = report.account
    if account is None:
        return report.name, "nothing", "", "", "", ""
    return (
        report.name,
        f"{account.taken:,} {account.unit_in}",
        f"{account.used:,}",
        _reasons(account),
        f"{account.made:,} {account.unit_out}",
        "" if account.due is None else f"{account.due:,}",
    )


def _width(rows: Sequence[Sequence[str]], names: Sequence[str]) -> int:
    """Return how wide a table of these columns is where only reasons go on in the next line."""
    width = 0
    for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
        words = [word for cell in column for word in cell.split()] if name == "refused" else column
        width += max(map(len, [name, *words])) + 3 if name in names else 0
    return width


def queue_table(reports: Sequence[StageReport]) -> Table | None:
    """Return the ledger of the queues that lost something, a row each; None where none did.

    What went in came out, was given up, or is still on its way.
    """
    received = {count.name: count for report in reports for count in report.received}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="queues", title_justify="left")
    for column in ("queue", "in", "out", *LOSSES, "on its way"):
        left = column == "queue"
        table.add_column(column, justify="left" if left else "right", overflow="fold")
    for sent in (count for report in reports for count in report.sent):
        got = received.get(sent.name)
        if not sent.lost and (got is None or not got.lost):
            continue
        out = 0 if got is None else got.arrived
        way = sent.arrived - out
        losses = [sent.lost.get(reason, 0) for reason in LOSSES]
        table.add_row(sent.name, *(f"{count:,}" for count in (sent.units, out, *losses, way)))
    return table if table.row_count else None


def clock_lines(hosts: Sequence[HostStatus]) -> list[str]:
    """Return one line for each other host whose clock was measured."""
    return [
        f"host '{host.name}': its clock is {abs(host.offset_s):.6f} s"
        f" {'behind' if host.offset_s > 0 else 'ahead'}, known to"
        f" {500 * host.round_trip_s:.2f} ms"
        for host in hosts
        if host.offset_s is not None and host.round_trip_s is not None
    ]


def overload_line(overload: Overload) -> str:
    """Return what overload did to a run, "" for nothing."""
    if not overload.highest:
        return ""
    end = "recovered" if overload.recovered else "not recovered before the end"
    return (
        f"overload: shed for {overload.shed_s:.1f} s, at most as step {overload.highest} of"
        f" {HIGHEST}: {step_name(overload.highest)}; {end}"
    )


def _reasons(account: Account) -> str:
    refused = {reason: count for reason, count in account.refused.items() if count}
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(refused.items()))
    notes = ", ".join(f"{key}: {count:,}" for key, count in sorted(account.notes.items()) if count)
    return (reasons or "0") + (f" ({notes})" if notes else "")


def silence_lines(reports: Sequence[StageReport]) -> list[str]:
    """Return one line for the first stage of each branch that took something and made nothing."""
    lines = []
    for report in reports:
        account = report.account
        if account is None or account.made:
            continue
        if not report.received and not account.taken:
            lines.append(f"{report.name}: there was no event to send")
        elif account.taken:
            why = _reasons(account)
            lines.append(
                f"{report.name}: made no {account.unit_out} of {account.taken:,}"
                f" {account.unit_in}: {why if why != '0' else 'they were too few'}"
            )
    return lines


def timing_lines(reports: Sequence[StageReport]) -> list[str]:
    """Return one line for each stage that has something to say about time."""
    lines = []
    for report in reports:
        if report.pace is not None and report.pace.event_s > 0:
            pace = report.pace
            drift = abs(pace.wall_s * pace.speed / pace.event_s - 1)
            lines.append(
                f"{report.name}: {pace.event_s:.3f} s of events at speed {pace.speed:g} took"
                f" {pace.wall_s:.3f} s (drift {drift:.3%}, at most {pace.late_max_ms:.1f} ms late)"
            )
        if report.latency is not None:
            latency = report.latency
            since = {
                "event": "a window's last event to its prediction",
                "arrival": "a window's last events coming in to its prediction",
            }[latency.since]
            lines.append(
                f"{report.name}: latency from {since}: p50 {latency.p50_ms:.1f} ms,"
                f" p99 {latency.p99_ms:.1f} ms, max {latency.max_ms:.1f} ms"
            )
    return lines


def remark_lines(reports: Sequence[StageReport]) -> list[str]:
    """Return what stages remark at the end."""
    return [f"{report.name}: {line}" for report in reports for line in report.remarks]
