"""What is wrong with sources and settings, and what a run would do, before anything runs.

Belongs here: looking at every source by itself, at the lake and at the reference data, and a remedy
for each problem. Nothing is written, and little is read; showing it belongs to `cli`.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import product
from pathlib import Path

from flow_pipeline import progress
from flow_pipeline.enrichment.asn import open_asn_database
from flow_pipeline.enrichment.azure_ranges import open_azure_ranges
from flow_pipeline.enrichment.country import open_country_database
from flow_pipeline.enrichment.feed_fetch import check_feed_names, feed_name
from flow_pipeline.enrichment.networks import read_networks
from flow_pipeline.enrichment.scanners import read_scanners
from flow_pipeline.enrichment.threat_feeds import read_feed
from flow_pipeline.errors import (
    BlobChanged,
    BlobGone,
    ContainerMissing,
    FlowPipelineError,
    LakeError,
    ReferenceDataError,
    SettingError,
    SourceDenied,
    SourceError,
    SourceUnreachable,
)
from flow_pipeline.flowlog.blob_path import PathShape
from flow_pipeline.flowlog.blob_source import BlobSource, open_sources
from flow_pipeline.flowlog.blob_walk import HourWalk, ListingBudget
from flow_pipeline.flowlog.credential import CredentialKind, SasTerms, kind_of, sas_terms
from flow_pipeline.flowlog.schema import CONTAINERS, NSG_CONTAINER
from flow_pipeline.flowlog.survey import (
    FINDING_CALLS,
    HOUR_CALLS,
    PEEKED_BLOBS,
    ContainerSurvey,
    ListedHour,
    PeekedBlob,
    blobs_to_peek_at,
    list_hour,
    peek_at,
    survey_container,
)
from flow_pipeline.lake import LAKE_VERSION, Lake
from flow_pipeline.landed_file import LANDED_TUPLES
from flow_pipeline.online_times import read_online_times
from flow_pipeline.partitions import DAY, HOUR, floor_hour, partition_hour, settled_at
from flow_pipeline.pipeline import Pipeline, no_flow_log, written_hours
from flow_pipeline.settings import (
    AccountLocation,
    FolderLocation,
    Settings,
    SourceLocation,
    source_location,
)
from flow_pipeline.threat_history import read_history

# Azure writes about once a minute; a quiet night makes a pause, hours of it are something else.
LONGEST_PAUSE = timedelta(hours=2)
SAS_ENDS_SOON = timedelta(days=7)
# The sample's day: 96.0 MB of blobs became a lake of 34.7 MB.
LAKE_BYTES_A_BLOB_BYTE = 0.4
_SAS_RIGHTS = {"l": "list", "r": "read"}
_NAMES_SHOWN = 3


class Severity(StrEnum):
    """Whether a run would fail, or only give less than one may think."""

    PROBLEM = "problem"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something wrong, in the three parts of every failure of ours."""

    severity: Severity
    culprit: str
    expected: str
    remedy: str


@dataclass(frozen=True)
class ContainerReport:
    """What one container holds. `unread` are blobs that changed while they were looked at."""

    survey: ContainerSurvey
    peeked: tuple[PeekedBlob, ...]
    unread: int
    findings: tuple[Finding, ...]

    @property
    def versions(self) -> Counter[int]:
        """In how many of the blobs looked into each version was met."""
        return Counter(version for blob in self.peeked for version in blob.versions)

    def whole_hours(self, now: datetime) -> list[ListedHour]:
        """The hours that tell the usual volume: the newest one may end, or have begun, in between.

        An hour that could not be listed whole tells at least how much.
        """
        settled = [hour for hour in self.survey.hours if settled_at(hour.hour) <= now]
        newest = self.survey.hours[0].hour if self.survey.hours else None
        return [hour for hour in settled if hour.hour != newest] or settled

    def bytes_an_hour(self, now: datetime) -> float | None:
        """The mean of the newest whole hours; None where there is none."""
        hours = self.whole_hours(now)
        return sum(hour.bytes for hour in hours) / len(hours) if hours else None

    def lag(self, now: datetime) -> timedelta | None:
        """How long ago the newest written hour ended; zero while it runs, None without any."""
        last = self.survey.last_hour
        return None if last is None else max(now - last - HOUR, timedelta(0))


@dataclass(frozen=True)
class Credential:
    """What a source is opened with, without the secret."""

    kind: CredentialKind
    terms: SasTerms | None


class Answer(StrEnum):
    """What a source said when it was opened."""

    OPEN = "yes"
    REFUSED = "access is refused"
    NO_CONTAINER = "yes, but there are no flow logs"
    UNREACHABLE = "no"
    NOT_ASKED = "not tried, for a setting is wrong"


@dataclass(frozen=True)
class SourceReport:
    """A folder, or a storage account. `credential` is None for a folder."""

    name: str
    answer: Answer
    credential: Credential | None
    missing_containers: tuple[str, ...]
    containers: tuple[ContainerReport, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Overlap:
    """NSG and VNet flow logs that both have the same NICs in the hours [start, end)."""

    start: datetime
    end: datetime
    nics: frozenset[str]


@dataclass(frozen=True)
class LakeReport:
    """The lake as it lies there. Hours are written hours; `version` is None where none is yet.

    `is_usable` is whether it can be read, or one can begin there.
    """

    path: Path
    is_usable: bool
    version: int | None
    start: datetime | None
    hours: int
    first_hour: datetime | None
    last_hour: datetime | None
    tuples: int
    free_bytes: int | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class FeedReport:
    """A threat feed. `entries` is None for one that was not read: a URL, or a broken file."""

    name: str
    is_url: bool
    entries: int | None


@dataclass(frozen=True)
class ReferenceReport:
    """Databases, lists and threat feeds. `lists` are named and told in words, if they are set."""

    country_database: str | None
    lists: tuple[tuple[str, str], ...]
    feeds: tuple[FeedReport, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class RunPlan:
    """What a run without a range would do: event hours [start, end).

    `new_hours` of the written hours were never landed and lie where the sources have blobs; the
    bytes are an estimate for these, of blobs and of the lake.
    """

    start: datetime
    end: datetime
    written_hours: int
    new_hours: int
    blob_bytes: int
    lake_bytes: int


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found."""

    now: datetime
    is_sample: bool
    sources: tuple[SourceReport, ...]
    overlaps: tuple[Overlap, ...]
    reference: ReferenceReport
    lake: LakeReport
    plan: RunPlan | None
    other_findings: tuple[Finding, ...]
    list_calls: int
    bytes_read: int

    @property
    def findings(self) -> list[Finding]:
        """All findings, problems first, each once."""
        found: list[Finding] = []
        for source in self.sources:
            found += source.findings
            for container in source.containers:
                found += container.findings
        found += [*self.lake.findings, *self.reference.findings, *self.other_findings]
        return sorted(dict.fromkeys(found), key=lambda it: it.severity is not Severity.PROBLEM)

    @property
    def would_run(self) -> bool:
        """Whether nothing was found that would stop a run."""
        return all(finding.severity is not Severity.PROBLEM for finding in self.findings)


def examine(
    settings: Settings, now: datetime, hours: tuple[datetime, datetime] | None = None
) -> Diagnosis:
    """Look at everything that a run needs; a fault in one place does not end it.

    `hours` are the event hours [from, to) that a run would bring up to date where it does not
    look for them itself: those of the sample, None before it was generated.
    """
    is_to_come = settings.is_sample and hours is None
    with ExitStack() as opened:
        patients = [] if is_to_come else _open_all(settings, opened)
        examined: list[SourceReport] = []
        for number, patient in enumerate(patients):
            progress.report("Examining", number, len(patients))
            examined.append(patient.examine(settings, now))
        if patients:
            progress.report("Examining", len(patients), len(patients))
        overlap_budget = ListingBudget(HOUR_CALLS)
        overlaps, overlap_findings = _overlaps(patients, overlap_budget)
    found = [*overlap_findings]
    if is_to_come:
        found.append(_sample_to_come())
    containers = [container for source in examined for container in source.containers]
    lake, lake_report = _examine_lake(settings)
    reference = _examine_reference(settings, lake, is_to_come=is_to_come)
    plan: RunPlan | None = None
    if lake_report.is_usable and not is_to_come:
        try:
            plan = _plan(settings, lake, containers, now, hours)
            if plan is not None:
                found += _disk_findings(plan, lake_report)
            elif not any(
                finding.severity is Severity.PROBLEM
                for source in examined
                for finding in source.findings
            ):
                # Where a source could not be looked at, it may have what the others lack.
                found.append(_finding(no_flow_log()))
        except FlowPipelineError as error:
            found.append(_finding(error))
    return Diagnosis(
        now=now,
        is_sample=settings.is_sample,
        sources=tuple(examined),
        overlaps=tuple(overlaps),
        reference=reference,
        lake=lake_report,
        plan=plan,
        # A plan fails by what is wrong with the reference data, too.
        other_findings=tuple(one for one in found if one not in reference.findings),
        list_calls=overlap_budget.calls + sum(patient.list_calls for patient in patients),
        bytes_read=sum(blob.bytes_read for each in containers for blob in each.peeked),
    )


# --- sources -------------------------------------------------------------------------------------

_ANSWERS = {
    SourceDenied: Answer.REFUSED,
    ContainerMissing: Answer.NO_CONTAINER,
    SourceUnreachable: Answer.UNREACHABLE,
}


@dataclass
class _Patient:
    """One word of FLOW_SOURCES: where it leads, what was opened, and what was found so far."""

    name: str
    location: SourceLocation | None
    answer: Answer = Answer.NOT_ASKED
    sources: list[BlobSource] = field(default_factory=list[BlobSource])
    missing: tuple[str, ...] = ()
    findings: list[Finding] = field(default_factory=list[Finding])
    surveyed: list[tuple[HourWalk, ContainerSurvey]] = field(
        default_factory=list[tuple[HourWalk, ContainerSurvey]]
    )
    # Opening an account asks each of its containers for a first name.
    list_calls: int = 0

    def examine(self, settings: Settings, now: datetime) -> SourceReport:
        """Look at what was opened."""
        containers: list[ContainerReport] = []
        for source in self.sources:
            for walk in source.walks:
                report = self._examine_container(source, walk, settings, now)
                if report is not None:
                    containers.append(report)
        # Beside one that is written to, an empty container is what retention or a migration left.
        if not any(report.survey.resources for report in containers):
            self.findings += [
                _empty(_container_name(report.survey))
                for report in containers
                if report.survey.is_whole and not report.survey.strangers
            ]
        credential = None
        if isinstance(self.location, AccountLocation):
            secret = self.location.credential
            credential = Credential(kind_of(secret), sas_terms(secret))
            self.findings = [
                *_sas_findings(self.location.setting, credential.terms, now),
                *self.findings,
            ]
        return SourceReport(
            name=self.name,
            answer=self.answer,
            credential=credential,
            missing_containers=self.missing,
            containers=tuple(containers),
            findings=tuple(self.findings),
        )

    def _examine_container(
        self, source: BlobSource, walk: HourWalk, settings: Settings, now: datetime
    ) -> ContainerReport | None:
        finding, newest, peeking = (
            ListingBudget(calls) for calls in (FINDING_CALLS, HOUR_CALLS, PEEKED_BLOBS)
        )
        peeked: list[PeekedBlob] = []
        found: list[Finding] = []
        unread = 0
        try:
            survey = survey_container(source, walk, finding, newest)
        except SourceError as error:
            self.findings.append(_finding(error))
            return None
        finally:
            self.list_calls += finding.calls + newest.calls
        try:
            for blob in blobs_to_peek_at(walk, survey.resources, peeking):
                try:
                    peeked.append(peek_at(source, blob))
                except (BlobChanged, BlobGone):
                    # Azure is writing to it right now; a run tries again.
                    unread += 1
        except SourceError as error:
            found.append(_finding(error))
        self.surveyed.append((walk, survey))
        self.list_calls += peeking.calls
        report = ContainerReport(survey, tuple(peeked), unread, ())
        found += _container_findings(report, now, is_sample=settings.is_sample)
        return replace(report, findings=tuple(found))


def _open_all(settings: Settings, opened: ExitStack) -> list[_Patient]:
    """Every source by itself, so that one that is broken does not hide the others."""
    patients: list[_Patient] = []
    names: set[str] = set()
    for number, location in enumerate(_locations(settings), start=1):
        if isinstance(location, SettingError):
            # The word itself may be a secret in the wrong place.
            patient = _Patient(f"FLOW_SOURCES, entry {number}", None, findings=[_finding(location)])
        else:
            patient = _open(location)
        for source in patient.sources:
            opened.callback(source.close)
        twice = [source for source in patient.sources if source.name in names]
        patient.sources = [source for source in patient.sources if source.name not in names]
        names.update(source.name for source in patient.sources)
        patient.findings += [
            Finding(
                Severity.WARNING,
                f"{source.name} is named twice in FLOW_SOURCES",
                "Expected it once; it is read once",
                "Take one of them out",
            )
            for source in twice
        ]
        patients.append(patient)
    return patients


def _locations(settings: Settings) -> list[SourceLocation | SettingError]:
    if settings.is_sample:
        return list(settings.source_locations())
    found: list[SourceLocation | SettingError] = []
    for word in settings.sources:
        try:
            found.append(source_location(word))
        except SettingError as error:
            found.append(error)
    return found


def _open(location: SourceLocation) -> _Patient:
    if isinstance(location, FolderLocation):
        patient = _Patient(str(location.path), location)
        wanted = (location.path.name,) if location.path.name in CONTAINERS else CONTAINERS
    else:
        container = f"/{location.container}" if location.container else ""
        patient = _Patient(location.endpoint + container, location)
        wanted = (location.container,) if location.container else CONTAINERS
    try:
        patient.sources = list(open_sources([location]))
    except FlowPipelineError as error:
        patient.findings.append(_finding(error))
        patient.answer = next(
            (answer for kind, answer in _ANSWERS.items() if isinstance(error, kind)),
            Answer.NOT_ASKED,
        )
        if isinstance(error, SourceDenied) and isinstance(location, AccountLocation):
            _open_containers(patient, location, wanted)
    else:
        patient.answer = Answer.OPEN
        there = {walk.container for source in patient.sources for walk in source.walks}
        patient.missing = tuple(name for name in wanted if name not in there)
        if isinstance(location, AccountLocation):
            patient.list_calls += len(wanted)
    return patient


def _open_containers(
    patient: _Patient, location: AccountLocation, containers: Sequence[str]
) -> None:
    """Try each container of an account that was refused: a SAS may be of one of them."""
    if len(containers) == 1:
        return
    for container in containers:
        try:
            patient.sources += open_sources([replace(location, container=container)])
            patient.list_calls += 1
        except (ContainerMissing, SourceDenied, SourceUnreachable):
            # The account as a whole was refused, which is told already with its remedy.
            continue


def _sas_findings(setting: str, terms: SasTerms | None, now: datetime) -> list[Finding]:
    """What a SAS says of itself; what the account makes of it is seen when it is used."""
    if terms is None:
        return []
    found: list[Finding] = []
    renew = f"Create a SAS that may list and read (sp=rl), and set {setting} to it"
    expires, starts = terms.expires_at, terms.starts_at
    if expires is not None and expires <= now:
        found.append(
            Finding(
                Severity.PROBLEM,
                f"The SAS in {setting} expired at {expires:%Y-%m-%d %H:%M} UTC",
                "Expected one that is valid now",
                renew,
            )
        )
    elif expires is not None and expires - now < SAS_ENDS_SOON:
        found.append(
            Finding(
                Severity.WARNING,
                f"The SAS in {setting} expires at {expires:%Y-%m-%d %H:%M} UTC",
                "Expected one that lasts",
                renew,
            )
        )
    if starts is not None and starts > now:
        found.append(
            Finding(
                Severity.PROBLEM,
                f"The SAS in {setting} is valid only from {starts:%Y-%m-%d %H:%M} UTC on",
                "Expected one that is valid now",
                f"Wait, set this machine's clock, or: {renew[0].lower()}{renew[1:]}",
            )
        )
    if terms.rights is None:
        return found
    lacking = [name for letter, name in _SAS_RIGHTS.items() if letter not in terms.rights]
    if lacking:
        found.append(
            Finding(
                Severity.PROBLEM,
                f"The SAS in {setting} may not {' and not '.join(lacking)}",
                "Expected one that may list and read",
                renew,
            )
        )
    if terms.rights - _SAS_RIGHTS.keys():
        found.append(
            Finding(
                Severity.WARNING,
                f"The SAS in {setting} allows more than is needed",
                "Expected one that may list and read, and nothing else",
                renew,
            )
        )
    return found


def _container_findings(
    report: ContainerReport, now: datetime, *, is_sample: bool
) -> list[Finding]:
    survey = report.survey
    name = _container_name(survey)
    found: list[Finding] = []
    if survey.strangers:
        found.append(
            Finding(
                Severity.WARNING,
                f"{name} holds nothing with a written hour in its path: {_some(survey.strangers)}",
                "Expected paths that end in y=2026/m=03/d=01/h=05/m=00/macAddress=…/PT1H.json",
                "Name the container or folder that Azure writes to; of a copy, keep the whole path",
            )
        )
    for shape, told in (
        (PathShape.FOREIGN, "belong to other services"),
        (PathShape.UNKNOWN, "are not understood"),
    ):
        prefixes = [each.prefix for each in survey.resources if each.shape is shape]
        if prefixes:
            is_everything = len(prefixes) == len(survey.resources)
            found.append(
                Finding(
                    Severity.WARNING,
                    f"{name}: {len(prefixes)} of {len(survey.resources)} paths {told}: "
                    + _some(prefixes),
                    "Expected paths of network security groups and flow logs",
                    "Look whether this is where Azure writes flow logs to, and correct FLOW_SOURCES"
                    if is_everything
                    else "Nothing has to be done: a run reports what is no flow log, and goes on",
                )
            )
    troubled = [blob for blob in report.peeked if blob.problems]
    if troubled:
        told = [f"{blob.blob}: {blob.problems[0].code}" for blob in troubled]
        found.append(
            Finding(
                Severity.WARNING,
                f"{name}: {len(troubled)} of {len(report.peeked)} blobs looked into are not what "
                f"they should be: {_some(told)}",
                "Expected flow logs of version 1, 2 or 4",
                "See docs/reference/reject-reasons.md; what can be read of them is landed",
            )
        )
    lag = report.lag(now)
    if lag is not None and lag > LONGEST_PAUSE and not is_sample:
        found.append(
            Finding(
                Severity.WARNING,
                f"{name}: nothing was written since the hour {survey.last_hour:%Y-%m-%dT%H}, which "
                f"ended {_duration(lag)} ago",
                "Expected news about once a minute, as Azure writes them where there is traffic",
                "Look whether flow logging is switched off or there is no traffic; a copied folder "
                "ends where the copy was made",
            )
        )
    if not survey.is_whole:
        found.append(
            Finding(
                Severity.WARNING,
                f"{name} has more resources than were looked at ({len(survey.resources)})",
                "What is said of it holds for these",
                "Nothing has to be done: a run reads all of them",
            )
        )
    return found


def _container_name(survey: ContainerSurvey) -> str:
    """A source of one container has its name already."""
    is_named = survey.source.endswith(f"/{survey.container}")
    return survey.source if is_named else f"{survey.source}/{survey.container}"


def _empty(name: str) -> Finding:
    return Finding(
        Severity.WARNING,
        f"{name} is empty",
        "Expected blobs that end in PT1H.json",
        "Wait for the first hour with traffic, or look whether flow logging is switched on",
    )


def _overlaps(
    patients: Sequence[_Patient], budget: ListingBudget
) -> tuple[list[Overlap], list[Finding]]:
    """Where NSG and VNet logs have the same NICs in the last hours that both have."""
    surveyed = [each for patient in patients for each in patient.surveyed]
    nsg = [each for each in surveyed if each[1].container == NSG_CONTAINER]
    vnet = [each for each in surveyed if each[1].container != NSG_CONTAINER]
    overlaps: list[Overlap] = []
    found: list[Finding] = []
    for one, other in product(nsg, vnet):
        if one[1].first_hour is None or other[1].first_hour is None:
            continue
        assert one[1].last_hour is not None, "what has a first hour has a last one"
        assert other[1].last_hour is not None, "what has a first hour has a last one"
        start = max(one[1].first_hour, other[1].first_hour)
        last = min(one[1].last_hour, other[1].last_hour)
        if start > last:
            continue
        try:
            nics = _nics_in_both(one, other, last, budget)
        except SourceError as error:
            found.append(_finding(error))
            continue
        if nics:
            overlaps.append(Overlap(start, last + HOUR, nics))
            found.append(
                Finding(
                    Severity.WARNING,
                    f"NSG and VNet flow logs both have {len(nics)} of the NICs in the hour "
                    f"{last:%Y-%m-%dT%H}, and may have them since {start:%Y-%m-%dT%H}: "
                    + _some(sorted(nics)),
                    "Expected each flow logged once: what both have is counted twice",
                    "Switch one of the two off, or ask with `where log_version = 4` (or < 4)",
                )
            )
    return overlaps, found


def _nics_in_both(
    one: tuple[HourWalk, ContainerSurvey],
    other: tuple[HourWalk, ContainerSurvey],
    hour: datetime,
    budget: ListingBudget,
) -> frozenset[str]:
    """The NICs that both have in an hour or in the one before: without traffic there is no blob."""
    found: set[str] = set()
    for each in (hour, hour - HOUR):
        first, second = (
            list_hour(walk, survey.resources, each, budget).nics for walk, survey in (one, other)
        )
        found |= first & second
    return frozenset(found)


# --- the lake ------------------------------------------------------------------------------------


def _examine_lake(settings: Settings) -> tuple[Lake | None, LakeReport]:
    path = settings.lake_dir
    found: list[Finding] = []
    free: int | None = None
    lake: Lake | None = None
    hours: list[datetime] = []
    tuples = 0
    try:
        lake = Lake.find(path, is_sample=settings.is_sample)
        landed = lake.snapshot(LANDED_TUPLES.name) if lake is not None else None
        if landed is not None:
            hours = sorted(map(partition_hour, landed.by_partition))
            tuples = sum(file.rows for file in landed.files)
    except LakeError as error:
        found.append(_finding(error))
    else:
        written = [path, *(path / name for name in lake.table_names())] if lake else []
        standing = written or [_nearest(path)]
        found += [_not_writable(each) for each in standing if not _is_writable(each)]
        free = shutil.disk_usage(standing[0]).free
    return lake, LakeReport(
        path=path,
        is_usable=free is not None,
        version=LAKE_VERSION if lake is not None else None,
        start=lake.start if lake is not None else None,
        hours=len(hours),
        first_hour=hours[0] if hours else None,
        last_hour=hours[-1] if hours else None,
        tuples=tuples,
        free_bytes=free,
        findings=tuple(found),
    )


def _nearest(path: Path) -> Path:
    """What stands of a path that is to be made."""
    return next(each for each in (path, *path.parents) if each.exists())


def _is_writable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def _not_writable(path: Path) -> Finding:
    return Finding(
        Severity.PROBLEM,
        f"The lake cannot be written: {path} is no directory that this user may write to",
        "Expected one that can be read and written, with space left",
        "Check permissions and space, or set FLOW_LAKE to another directory",
    )


def _disk_findings(plan: RunPlan, lake: LakeReport) -> list[Finding]:
    assert lake.free_bytes is not None, "a lake that is usable has a disk"
    if plan.lake_bytes <= lake.free_bytes:
        return []
    return [
        Finding(
            Severity.PROBLEM,
            f"The disk of {lake.path} has {lake.free_bytes / 1e9:,.1f} GB free; what a run would "
            f"land needs about {plan.lake_bytes / 1e9:,.1f} GB",
            "Expected more space than that",
            "Make room, set FLOW_LAKE to a larger disk, or set FLOW_START to a later hour",
        )
    ]


# --- reference data ------------------------------------------------------------------------------


def _examine_reference(
    settings: Settings, lake: Lake | None, *, is_to_come: bool
) -> ReferenceReport:
    found: list[Finding] = []
    database: str | None = None
    try:
        with open_country_database(settings.country_db) as countries:
            database = countries.version
    except ReferenceDataError as error:
        found.append(_finding(error))
    lists: list[tuple[str, str]] = []
    for name, told in _LISTS.items():
        try:
            lists.append((name, told(settings)))
        except ReferenceDataError as error:
            found.append(_finding(error))
    try:
        settings.allowed()
        if settings.online_times is not None:
            read_online_times(settings.online_times)
    except SettingError as error:
        found.append(_finding(error))
    # The sample's feed is written with the sample.
    locations = () if is_to_come else settings.feed_locations
    feeds: list[FeedReport] = []
    try:
        check_feed_names(locations)
        unread = set(read_history(lake, locations).unread) if lake is not None else set(locations)
    except FlowPipelineError as error:
        found.append(_finding(error))
        locations = ()
        unread = set[str]()
    for location in locations:
        name = feed_name(location)
        is_url = "://" in location
        entries: int | None = None
        if not is_url:
            try:
                entries = len(read_feed(location).entries)
            except ReferenceDataError as error:
                # One that was read before keeps what it said then, and a run goes on with that.
                is_kept = lake is not None and name not in unread
                severity = Severity.WARNING if is_kept else Severity.PROBLEM
                found.append(_finding(error, severity))
        feeds.append(FeedReport(name, is_url, entries))
    return ReferenceReport(database, tuple(lists), tuple(feeds), tuple(found))


def _systems(settings: Settings) -> str:
    systems = open_asn_database(settings.asn_db)
    if systems is None:
        return _NOT_SET
    with systems:
        return systems.version


def _ranges(settings: Settings) -> str:
    return open_azure_ranges(settings.service_tags).version


def _networks(settings: Settings) -> str:
    networks = read_networks(settings.networks)
    return f"{networks.count:,} prefixes" if networks.version else _NOT_SET


def _scanners(settings: Settings) -> str:
    scanners = read_scanners(settings.scanners)
    return f"{scanners.count:,} prefixes" if scanners.version else _NOT_SET


_NOT_SET = "not set"
_LISTS: Mapping[str, Callable[[Settings], str]] = {
    "systems": _systems,
    "Azure's ranges": _ranges,
    "networks": _networks,
    "scanners": _scanners,
}


# --- what a run would do -------------------------------------------------------------------------


def _plan(
    settings: Settings,
    lake: Lake | None,
    containers: Sequence[ContainerReport],
    now: datetime,
    hours: tuple[datetime, datetime] | None,
) -> RunPlan | None:
    """What a run without a range would do; None where nothing says with which hour to begin."""
    if hours is None:
        firsts = (each.survey.first_hour for each in containers)
        found = min((hour for hour in firsts if hour is not None), default=None)
        begin = settings.start or (lake.start if lake is not None else None) or found
        if begin is None:
            return None
        end = floor_hour(now)
        start = begin
        if lake is not None:
            start = Pipeline(settings, lake).first_stale(begin, end)
    else:
        start, end = hours
    landed: set[datetime] = set()
    snapshot = lake.snapshot(LANDED_TUPLES.name) if lake is not None else None
    if snapshot is not None:
        landed = set(map(partition_hour, snapshot.by_partition))
    written = written_hours(start, end, now)
    new = [hour for hour in written if hour not in landed]
    blob_bytes = 0.0
    with_blobs: set[datetime] = set()
    for container in containers:
        first, last = container.survey.first_hour, container.survey.last_hour
        if first is None or last is None:
            continue
        held = [hour for hour in new if first <= hour <= last]
        with_blobs.update(held)
        blob_bytes += (container.bytes_an_hour(now) or 0) * len(held)
    return RunPlan(
        start=start,
        end=end,
        written_hours=len(written),
        new_hours=len(with_blobs),
        blob_bytes=round(blob_bytes),
        lake_bytes=round(blob_bytes * LAKE_BYTES_A_BLOB_BYTE),
    )


def _sample_to_come() -> Finding:
    return Finding(
        Severity.WARNING,
        "No FLOW_SOURCES are set, and the sample is not generated yet",
        "Expected sources of your own, or the sample",
        "Set FLOW_SOURCES (.env.example tells how), or `flow-pipeline run --sample`, which "
        "generates it",
    )


def _finding(error: FlowPipelineError, severity: Severity = Severity.PROBLEM) -> Finding:
    return Finding(severity, error.culprit, error.expected, error.remedy)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _duration(time: timedelta) -> str:
    if time >= DAY * 2:
        return f"{time.days:,} days"
    return f"{time // HOUR} hours"
