"""The command line: `flow-pipeline generate | run | sql | feeds | doctor | dev`.

Belongs here: options, progress bars, tables, exit codes. What a command does belongs to the
modules that it calls. Exit code 0: done; 1: something failed; 2: a setting or an option is wrong.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flow_pipeline import progress
from flow_pipeline.errors import FlowPipelineError, QueryError, SettingError
from flow_pipeline.partitions import HOUR, day_start, utc_now
from flow_pipeline.settings import (
    SAMPLE_DIR,
    Settings,
    load_settings,
    parse_hour,
    read_settings,
)

if TYPE_CHECKING:
    from flow_pipeline.doctor import (
        ContainerReport,
        Credential,
        Diagnosis,
        Finding,
        LakeReport,
        RunPlan,
        SourceReport,
    )

app = typer.Typer(
    help="Understand Azure flow logs: from the blobs to the day's top ports, sources, targets.\n\n"
    "Start with `flow-pipeline run --sample`: it generates a day of flow logs and answers from it. "
    "For your own logs set FLOW_SOURCES (see .env.example), then `flow-pipeline run`.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_TOP_SHOWN = 5
_PROBLEMS_SHOWN = 10
_ROWS_SHOWN = 1000
_TEXT_COLUMNS = ("protocol", "service", "ip", "country", "listed")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_Sample = Annotated[
    bool,
    typer.Option(
        "--sample",
        help="Use the generated day in sample/, in a lake of its own, whatever is set.",
    ),
]


@app.command()
def generate(
    out: Annotated[Path, typer.Option(help="The folder to write; it holds the container.")],
    day: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], help="The day; yesterday if left out."),
    ] = None,
    flows: Annotated[int, typer.Option(min=1, help="About how many new flows.")] = 1_000_000,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same bytes.")] = None,
    layout: Annotated[
        str, typer.Option(help="vnet (version 4), nsg2 or nsg1: the logs' format.")
    ] = "vnet",
) -> None:
    """Write a day of realistic flow logs: two machines in West Europe with port 3389 open.

    Example: `flow-pipeline generate --out logs --date 2026-03-01 --flows 50000`, then
    `FLOW_SOURCES=logs flow-pipeline run`.
    """
    _generate(out, day.date() if day else None, flows, seed, layout)


@app.command()
def run(
    start: Annotated[
        str | None, typer.Option("--from", help="First event hour, like 2026-03-01T00 (UTC).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Event hour to stop before; later than now is now.")
    ] = None,
    sample: _Sample = False,
) -> None:
    """Bring the lake up to date: land the blobs, look addresses up, build facts and summaries.

    Without a range: from the earliest hour that is not complete or not current, to now. What is
    current is not done again, so it can be run as often as you like.
    """
    settings = _settings(sample)
    hours = _hour_option("--from", start), _hour_option("--to", end)
    if settings.is_sample:
        hours = _sample_hours(*hours)
    _run(settings, *hours)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A query; tables by their bare names.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV, and nothing else.")] = False,
    sample: _Sample = False,
) -> None:
    """Ask the lake a question in DuckDB's SQL. Reads no source and changes nothing.

    Tables: `fct_flows`, `top_ports_daily`, `top_sources_daily`, `top_targets_daily`, `dim_ip`,
    `flow_records`, `rejected_tuples`, `landed_blobs`, `ip_lookup`, `threat_entries`, and those of
    the coverage. `show tables` lists them all, `describe fct_flows` tells the columns.

    Example: `flow-pipeline sql "from top_ports_daily order by date, rank"`
    """
    _sql(_settings(sample), query, as_csv)


@app.command()
def feeds(
    accept: Annotated[
        list[str] | None,
        typer.Option(help="Take what this feed lists now, however little. May be repeated."),
    ] = None,
    sample: _Sample = False,
) -> None:
    """Show the threat feeds: how many entries, since when, and what is wrong with the last answer.

    Asks none of them but those to accept: a list that is suddenly ten times smaller, or empty, is
    not taken before somebody says that it is meant to be so.
    """
    from flow_pipeline.pipeline import Pipeline

    pipeline = Pipeline.open(_settings(sample))
    if accept:
        _accept_feeds(pipeline, accept)
    table = _table("", ("feed", "entries", "changed", "asked"), ("feed",))
    for state in pipeline.feed_states():
        asked = _minute(state.asked_at) if state.is_url else "by each run"
        changed = _minute(state.changed_at)
        table.add_row(Text(_printable(state.feed)), f"{state.entries:,}", changed, asked)
    _out.print(table)
    _show_feed_failures(pipeline)


@app.command()
def doctor(sample: _Sample = False) -> None:
    """Say what is wrong with sources and settings, and what a run would do, before anything runs.

    For each source: whether it answers, by which kind of credential, what is in it since when, how
    much a day; then threat feeds, country database, lake and disk. For each problem the remedy.
    Reads little and writes nothing. Exit status 1 if something would stop a run.
    """
    from flow_pipeline.doctor import examine

    settings = _settings(sample, read_settings)
    with _progress():
        diagnosis = examine(settings, utc_now(), _sample_day() if settings.is_sample else None)
    _show_diagnosis(diagnosis)
    if not diagnosis.would_run:
        raise typer.Exit(1)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="The UI's port on 127.0.0.1.")] = 3000,
    sample: _Sample = False,
) -> None:
    """Open the Dagster UI with its daemon: the hourly schedule is on.

    Listens on 127.0.0.1 only. Ctrl-C ends it; what runs is ended with it, and repaired by the next
    run.
    """
    import dagster as dg

    from flow_pipeline.orchestration import WORKSPACE, end_dead_runs, prepare_dagster_home
    from flow_pipeline.pipeline import Pipeline

    settings = _settings(sample)
    if settings.is_sample:
        _sample_hours(None, None)
    start = Pipeline.open(settings).ensure_start()
    home = prepare_dagster_home()
    with dg.DagsterInstance.get() as instance:
        end_dead_runs(instance, of_others=True)
    _err.print(f"Lake {settings.lake_dir}, from {start:%Y-%m-%dT%H}; Dagster's history in {home}")
    command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(WORKSPACE)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    sys.stdout.flush()
    # In this process's place, so that Ctrl-C reaches Dagster itself.
    os.execv(command[0], command)  # noqa: S606 - that no shell sees it is what is wanted


def main() -> None:
    """The entry point: a failure of ours becomes a message and an exit code."""
    try:
        app(standalone_mode=True)
    except FlowPipelineError as error:
        _show_failure(error)
        sys.exit(2 if isinstance(error, SettingError) else 1)


def _run(settings: Settings, start: datetime | None, end: datetime | None) -> None:
    from flow_pipeline.orchestration import dagster_instance, run_days, run_hours
    from flow_pipeline.pipeline import Pipeline, written_hours

    pipeline = Pipeline.open(settings)
    now = utc_now()
    if start is not None and end is not None and start >= end:
        raise SettingError(
            "--to", f"{end:%Y-%m-%dT%H} is not after --from", "a later hour", "Swap them"
        )
    if start is not None and start > now:
        raise SettingError(
            "--from", f"{start:%Y-%m-%dT%H} lies ahead", "an hour that has begun", "Correct it"
        )
    if start is None:
        caught_up_from, until = pipeline.hours_to_catch_up(now)
        start = caught_up_from if end is None else min(caught_up_from, end - HOUR)
        end = end or until
    end = min(end or now, now)
    pipeline.ensure_start(start)
    landing = written_hours(start, end, now)
    asked = [hour for hour in landing if hour < end] or landing
    days: list[date] = []
    with dagster_instance() as instance, _progress():
        outcomes = [run_hours(instance, landing)]
        if outcomes[0].succeeded:
            days = pipeline.days_of(asked, landed=landing)
            outcomes.append(run_days(instance, days))
        else:
            # The hours left it to the days, which do not follow.
            pipeline.publish()
    failures = [failure for one in outcomes for failure in one.failures]
    _show_result(pipeline, landing, days)
    if not all(one.succeeded for one in outcomes):
        for failure in failures or ["The run failed; the Dagster UI (make dev) says where."]:
            _err.print(Text(failure, style="red"), soft_wrap=True)
        raise typer.Exit(1)


def _show_result(pipeline: Any, landed: list[datetime], days: list[date]) -> None:
    from flow_pipeline.enrichment.country import open_country_database
    from flow_pipeline.summaries import SUMMARIES, top_rows

    found = pipeline.landed(landed)
    manifests = [landing.manifest for landing in found]
    blobs = [blob for manifest in manifests for blob in manifest.blobs]
    damaged = [blob for blob in blobs if blob.problem_count]
    overview = _table("Landed", ("hours", "blobs", "tuples", "rejected", "damaged or foreign"), ())
    overview.add_row(
        f"{len({manifest.written_hour for manifest in manifests}):,} of {len(landed):,}",
        f"{len(blobs):,}",
        f"{sum(blob.tuples for blob in blobs):,}",
        f"{sum(blob.rejected for blob in blobs):,}",
        f"{len(damaged):,}",
    )
    _out.print(overview)
    _show_problems(blobs)
    _show_feed_failures(pipeline)
    for name in SUMMARIES:
        # Of several days the newest that has any flow: one screen is what a person reads.
        for found_table in top_rows(pipeline.lake, name, days, _TOP_SHOWN)[-1:]:
            table = _table(f"{name}, {found_table.day}", found_table.columns, _TEXT_COLUMNS)
            for row in found_table.rows:
                table.add_row(*(Text(cell) for cell in row))
            _out.print(table)
    _show_answers(pipeline, days)
    with open_country_database(pipeline.settings.country_db) as countries:
        _out.print(Text(f"Countries: {countries.attribution}", style="dim"))
    where = " --sample" if pipeline.settings.is_sample else ""
    _out.print(
        "\n[bold]Where to look next[/bold]\n"
        f'  flow-pipeline sql{where} "from top_ports_daily order by date, rank"\n'
        f"  duckdb -readonly {pipeline.lake.root / 'flows.duckdb'}\n"
        "  make dev      the Dagster UI: what was built when, from what\n"
        "  README.md     questions worth asking, and your own storage account",
        soft_wrap=True,
    )


def _show_answers(pipeline: Any, days: list[date]) -> None:
    from flow_pipeline.answers import answers

    told = answers(pipeline.lake, days)
    if told is None:
        return
    first, last = told.days[0], told.days[-1]
    span = f"{first}" if first == last else f"{first} to {last}"
    _out.print(f"[bold]Three answers, {span}[/bold]")
    for answer in told.answers:
        _out.print(Text(answer.question, style="bold"))
        for sentence in answer.sentences:
            _out.print(Padding(Text(_printable(sentence)), (0, 0, 0, 2), expand=False))
    _out.print()


def _table(title: str, columns: Sequence[str], text_columns: Sequence[str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in columns:
        is_text = column in text_columns
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    return table


def _show_problems(blobs: list[Any]) -> None:
    lines: list[str] = []
    for blob in blobs:
        lines += [f"{blob.blob}: {count} x {reason}" for reason, count in blob.rejects.items()]
        lines += [
            f"{blob.blob}: {problem.code}: {problem.detail}"
            + ("" if problem.record_no is None else f" (record {problem.record_no})")
            for problem in blob.problems
        ]
    if not lines:
        return
    _out.print(
        "[bold yellow]Not everything could be decoded[/bold yellow] "
        "(see rejected_tuples and landed_blobs)"
    )
    for line in lines[:_PROBLEMS_SHOWN]:
        _out.print(Text("  " + _printable(line)), soft_wrap=True)
    if len(lines) > _PROBLEMS_SHOWN:
        _out.print(f"  … and {len(lines) - _PROBLEMS_SHOWN} more")


def _accept_feeds(pipeline: Any, names: Sequence[str]) -> None:
    known = [state.feed for state in pipeline.feed_states()]
    for name in names:
        if name not in known:
            raise SettingError(
                "--accept",
                f"no threat feed is called {name}",
                f"one of {', '.join(known)}" if known else "a feed in FLOW_THREAT_FEEDS",
                "`flow-pipeline feeds` lists them",
            )
    for state in pipeline.refresh_feeds(names):
        if state.feed in names and state.failure is None:
            _out.print(Text(f"{_printable(state.feed)}: {state.entries:,} entries taken"))


def _show_feed_failures(pipeline: Any) -> None:
    failed = [state for state in pipeline.feed_states() if state.failure]
    if failed:
        _out.print("[bold yellow]Not every threat feed could be read[/bold yellow]; flags stand")
    for state in failed:
        since = f" (its state of {_minute(state.changed_at)} UTC stands)"
        _out.print(Text("  " + _printable(str(state.failure)) + since), soft_wrap=True)


def _minute(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M}"


def _show_diagnosis(diagnosis: Diagnosis) -> None:
    for source in diagnosis.sources:
        _show_source(source, diagnosis.now)
    lines = [("countries", diagnosis.reference.country_database or "none")]
    lines += diagnosis.reference.lists
    for feed in diagnosis.reference.feeds:
        read = "not read" if feed.entries is None else f"{feed.entries:,} entries"
        told = "a web address, which is not asked here" if feed.is_url else read
        lines.append(("threat feed", f"{feed.name}: {told}"))
    _show_part("Reference data", lines)
    _show_lake(diagnosis.lake, is_sample=diagnosis.is_sample)
    if diagnosis.plan is not None:
        _show_plan(diagnosis.plan)
    _show_findings(diagnosis.findings)
    _out.print(
        f"\nLooked at with {diagnosis.list_calls:,} list calls and "
        f"{decimal(diagnosis.bytes_read)} read of blobs. Nothing was written."
    )


def _show_lake(lake: LakeReport, *, is_sample: bool) -> None:
    kind = "generated data" if is_sample else "real data"
    if not lake.is_usable:
        told = "cannot be used"
    elif lake.version is None:
        told = "is not there yet; a run makes it"
    elif not lake.hours:
        told = f"layout {lake.version}, for {kind}; nothing is landed yet"
    else:
        told = (
            f"layout {lake.version}, {kind}: {lake.tuples:,} tuples of {lake.hours:,} written "
            f"hours, {_hour(lake.first_hour)} to {_hour(lake.last_hour)}"
        )
    lines = [("lake", told)]
    if lake.free_bytes is not None:
        lines.append(("free space", decimal(lake.free_bytes)))
    _show_part(f"Lake {lake.path}", lines)


def _show_plan(plan: RunPlan) -> None:
    event_hours = f"from {_hour(plan.start)} until before {_hour(plan.end)}"
    if plan.start >= plan.end:
        event_hours = f"{_hour(plan.start)}, which is running"
    lines = [("event hours", event_hours), ("written hours", f"{plan.written_hours:,} to look at")]
    if plan.new_hours:
        size, in_lake = decimal(plan.blob_bytes), decimal(plan.lake_bytes)
        told = f"{plan.new_hours:,} of them, about {size}; about {in_lake} in the lake"
        lines.append(("not landed yet", told))
    _show_part("What a run would do", lines)


def _show_source(source: SourceReport, now: datetime) -> None:
    lines = [("reachable", str(source.answer))]
    if source.credential is not None:
        lines.append(("credential", _told_of(source.credential)))
    _show_part(source.name, lines)
    for container in source.containers:
        _show_container(container, now)
    _show_lines([("not there", name) for name in source.missing_containers])


def _told_of(credential: Credential) -> str:
    terms = credential.terms
    if terms is None:
        return str(credential.kind)
    ends = f"ends {terms.expires_at:%Y-%m-%d %H:%M} UTC" if terms.expires_at else "no end told"
    rights = terms.rights
    may = "rights not told"
    if rights is not None:
        words = (("l", "list"), ("r", "read"))
        may = "may " + " and ".join(w if letter in rights else f"not {w}" for letter, w in words)
    policy = "; what it does not tell stands in an access policy" if terms.has_policy else ""
    return f"{credential.kind} (SAS: {ends}, {may}{policy})".replace("SAS (SAS: ", "SAS (")


def _show_container(container: ContainerReport, now: datetime) -> None:
    survey = container.survey
    _show_lines([("container", survey.container)])
    if not survey.resources:
        _show_lines([("  paths", "none with a written hour")])
        return
    shapes = ", ".join(f"{count:,} x {shape}" for shape, count in survey.shapes().items())
    lag = container.lag(now)
    ended = f"ended {_ago(lag)} ago" if lag else "which is running"
    versions = ", ".join(
        f"{version} in {count}" for version, count in sorted(container.versions.items())
    )
    changed = f"; {container.unread} changed meanwhile" if container.unread else ""
    lines = [
        ("  paths", shapes + ("" if survey.is_whole else ", of those looked at")),
        ("  hours", f"{_hour(survey.first_hour)} to {_hour(survey.last_hour)}, {ended}"),
        ("  NICs", f"{len(survey.nics):,} since {_hour(survey.hours[-1].hour)}"),
        ("  versions", f"{versions or 'none'} of {len(container.peeked)} blobs{changed}"),
    ]
    hours, rate = container.whole_hours(now), container.bytes_an_hour(now)
    if rate is not None:
        least = "" if all(hour.is_whole for hour in hours) else "at least "
        blobs, size = sum(hour.blobs for hour in hours), sum(hour.bytes for hour in hours)
        of = f"{blobs:,} blobs, {decimal(size)} in {len(hours)} hours"
        lines.append(("  volume", f"{least}about {decimal(round(rate * 24))} a day ({of})"))
    _show_lines(lines)


def _show_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        _out.print("\n[bold green]Nothing is wrong: a run can start[/bold green]")
        return
    problems = sum(finding.severity == "problem" for finding in findings)
    _out.print(
        f"\n[bold]Problems: {problems}, warnings: {len(findings) - problems}[/bold]"
        + ("" if problems else "; a run can start")
    )
    for finding in findings:
        is_problem = finding.severity == "problem"
        mark = Text(f"  {finding.severity}: ", style="bold red" if is_problem else "bold yellow")
        _out.print(mark + Text(_printable(f"{finding.culprit}.")), soft_wrap=True)
        _out.print(Text(_printable(f"    {finding.expected}.")), soft_wrap=True)
        _out.print(Text(_printable(f"    {finding.remedy}."), style="bold"), soft_wrap=True)


def _show_part(title: str, lines: Sequence[tuple[str, str]]) -> None:
    _out.print()
    _out.print(Text(_printable(title), style="bold"), soft_wrap=True)
    _show_lines(lines)


def _show_lines(lines: Sequence[tuple[str, str]]) -> None:
    for label, told in lines:
        _out.print(Text(f"  {label:<15}", style="dim") + Text(_printable(told)), soft_wrap=True)


def _hour(hour: datetime | None) -> str:
    return "never" if hour is None else f"{hour:%Y-%m-%dT%H}"


def _ago(time: timedelta) -> str:
    if time >= timedelta(days=2):
        return f"{time.days:,} days"
    hours = f"{time // HOUR} h " if time >= HOUR else ""
    return f"{hours}{time % HOUR // timedelta(minutes=1)} min"


def _sql(settings: Settings, query: str, as_csv: bool) -> None:
    import duckdb

    from flow_pipeline.lake import Lake
    from flow_pipeline.lake_views import connect
    from flow_pipeline.setting_views import setting_views

    lake = Lake.open_to_read(settings.lake_dir)
    with connect(lake, setting_views(settings)) as connection:
        try:
            result = connection.execute(query)
            columns = [column[0] for column in result.description or ()]
            if as_csv:
                _write_csv(columns, result)
                return
            rows = result.fetchmany(_ROWS_SHOWN + 1)
        except duckdb.Error as error:
            raise QueryError(
                f"DuckDB: {_printable(str(error), keep_lines=True)}",
                "A query over the lake's tables",
                "`show tables` lists them, `describe TABLE` tells the columns",
            ) from None
    table = Table()
    for column in columns:
        table.add_column(Text(_printable(column)), overflow="fold")
    for row in rows[:_ROWS_SHOWN]:
        table.add_row(*(Text("" if cell is None else _printable(str(cell))) for cell in row))
    _out.print(table)
    if len(rows) > _ROWS_SHOWN:
        _err.print(f"The first {_ROWS_SHOWN:,} rows; --csv gives them all.")


def _write_csv(columns: list[str], result: Any) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    while rows := result.fetchmany(10_000):
        writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])


def _csv_cell(cell: object) -> object:
    # A spreadsheet runs a text that looks like a formula; names in logs are written by strangers.
    if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS):
        return "'" + cell
    return cell


def _printable(text: str, *, keep_lines: bool = False) -> str:
    """Without what a terminal would obey: names in logs are written by strangers."""
    return "".join(c if c.isprintable() or (keep_lines and c == "\n") else "�" for c in text)


def _settings(sample: bool, load: Callable[[], Settings] = load_settings) -> Settings:
    if sample:
        # An empty value in the environment goes before what .env says.
        for name in ("FLOW_SOURCES", "FLOW_LAKE", "FLOW_START", "FLOW_THREAT_FEEDS"):
            os.environ[name] = ""
    return load()


def _hour_option(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_hour(text)
    except ValueError as error:
        raise SettingError(name, str(error), "an hour in UTC", f"Correct {name}") from None


def _sample_hours(
    start: datetime | None, end: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Generate the sample unless it is there; its day, where no hours are asked for."""
    day = _sample_day()
    if day is None:
        _err.print(
            "No FLOW_SOURCES are set: generating a day of flow logs in sample/ "
            "(.env.example tells how to name your own)."
        )
        _generate(SAMPLE_DIR, None, None, None, "vnet")
        day = _sample_day()
        assert day is not None, "it was just generated"
    return day if start is None and end is None else (start, end)


def _sample_day() -> tuple[datetime, datetime] | None:
    """The event hours [from, to) of the sample; None if it is not generated yet."""
    from flow_pipeline.sample.generate import SUMMARY

    summary = SAMPLE_DIR / SUMMARY
    if not summary.is_file():
        return None
    start = day_start(date.fromisoformat(json.loads(summary.read_bytes())["date"]))
    return start, start + timedelta(days=1)


def _generate(
    out: Path, day: date | None, flows: int | None, seed: int | None, layout: str
) -> None:
    from flow_pipeline.sample import DEFAULT_FLOWS, DEFAULT_SEED
    from flow_pipeline.sample import generate as write_sample

    if layout not in ("vnet", "nsg2", "nsg1"):
        raise SettingError("--layout", f"{layout!r} is unknown", "vnet, nsg2 or nsg1", "Correct it")
    with _progress():
        summary = write_sample(
            out,
            day or (utc_now() - timedelta(days=1)).date(),
            flows=flows or DEFAULT_FLOWS,
            seed=DEFAULT_SEED if seed is None else seed,
            layout=layout,
            on_progress=lambda done, total: progress.report("Generating", done, total),
        )
    _err.print(f"{out}: {summary.flows:,} flows, {summary.tuples:,} tuples of {summary.date}")


@contextmanager
def _progress() -> Generator[None]:
    """A bar for each kind of work that reports how far it has come."""
    columns = (
        TextColumn("{task.description:<16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_err) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        with progress.listening(show):
            yield


def _show_failure(error: FlowPipelineError) -> None:
    _err.print(Text(_printable(str(error), keep_lines=True), style="red"), soft_wrap=True)


if __name__ == "__main__":
    main()
