"""What a recording's licence says about commercial use. A table of identifiers, no legal advice.

A licence is written freely ("CC-BY-4.0 (README: free)", "CC0/PD", "MIT repo"). What stands in brackets is a remark and
grants nothing. The rest may name several licences, of alternatives or of parts: the least free of them counts. What the
table does not know is unclear.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Answer = Literal["yes", "no", "unclear"]

_ATTRIBUTION, _SHARE_ALIKE = "attribution", "share-alike"


@dataclass(frozen=True)
class Terms:
    """May a model that learned from it be used commercially; what it requires in return, and else why not."""

    commercial: Answer
    duties: tuple[str, ...] = ()
    reason: str = ""

    def text(self) -> str:
        """Return the answer in a few words.

        >>> terms("CC-BY-SA-4.0").text(), terms("CC-BY-NC 3.0").text(), terms("unknown").text()
        ('yes (attribution, share-alike)', 'no (non-commercial)', 'unclear (no licence is named)')
        """
        remark = ", ".join(self.duties) or self.reason
        return f"{self.commercial} ({remark})" if remark else self.commercial


@dataclass(frozen=True)
class CommercialUse:
    """The answer for everything that a model learned from; ``because`` are the licences that stand in the way."""

    clear: bool
    because: tuple[str, ...]
    duties: tuple[str, ...]

    def text(self) -> str:
        """Return the one line that sums the ledger up."""
        if not self.clear:
            return "commercial use: not clear because of " + ", ".join(self.because)
        return "commercial use: clear" + (f", with {' and '.join(self.duties)}" if self.duties else "")

    def to_data(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"clear": self.clear, "because": list(self.because), "duties": list(self.duties), "text": self.text()}


# Whole statements, before they are taken apart at commas.
_WHOLE: tuple[tuple[str, Terms], ...] = (
    # Sound that a program under the GPL makes is not covered by the GPL (gnu.org, GPL FAQ, "GPLOutput").
    (r"synthetic-speech,-no-terms-of-its-own", Terms("yes")),
    (r"synthetic-speech", Terms("unclear", reason="the voice's own terms decide")),
    (r"(unknown|none|n/a|not-stated|)", Terms("unclear", reason="no licence is named")),
)
# A jurisdiction only after a version: "cc-by-nc" and "cc-by-sa" must not pass for "cc-by" of some country.
_VERSION = r"(-v?\d(\.\d)?(-[a-z]{2}|-international|-unported|-generic)?)?"
_KNOWN: tuple[tuple[str, Terms], ...] = (
    (r"cc-?(0|zero)(-\d\.\d)?(-universal)?", Terms("yes")),
    (r"pd|pdm(-1\.0)?|public-domain(-(mark|dedication|waiver))?(-1\.0)?|unlicense|0bsd", Terms("yes")),
    (r"apache(-licen[cs]e)?(-?v?2(\.0)?)?(-licen[cs]e)?", Terms("yes", (_ATTRIBUTION,))),
    (r"(mit|isc|(new-|modified-)?bsd(-[234]-clause)?)(-licen[cs]e)?", Terms("yes", (_ATTRIBUTION,))),
    (rf"cc-by{_VERSION}", Terms("yes", (_ATTRIBUTION,))),
    (rf"cc-by-sa{_VERSION}", Terms("yes", (_ATTRIBUTION, _SHARE_ALIKE))),
    (rf"cc-by-nc(-(sa|nd))?{_VERSION}", Terms("no", reason="non-commercial")),
    (rf"cc-by-nd{_VERSION}", Terms("unclear", reason="no derivatives: whether a model is one is not settled")),
    (r"own-recordings?", Terms("yes")),
    (r"cc|creative-commons", Terms("unclear", reason="it does not say which Creative Commons licence")),
)
# Where something comes from: no licence, and no obstacle beside one.
_ORIGINS: tuple[tuple[str, str], ...] = (
    (r".+-repo(sitory)?", "the licence of a repository need not be that of its sounds"),
    (r"self-recorded", "no licence is named"),
)
_FORBIDDEN = re.compile(r"non-?commercial|\bnc\b|(research|academic|personal|educational)-(use-|purposes-)?only")
_BOTH_USES = re.compile(r"commercial-(and|or)-non-?commercial|non-?commercial-(and|or)-commercial")


def terms(licence: str) -> Terms:
    """Return what a licence says, as a manifest or a model's ledger names it.

    >>> terms("CC-BY-4.0 (README: free, commercial and non-commercial)")
    Terms(commercial='yes', duties=('attribution',), reason='')
    >>> terms("MIT repo").commercial, terms("MIT repo; README: CC0/PD sources").commercial
    ('unclear', 'yes')
    """
    stated, remarks = _without_brackets(licence)
    for pattern, answer in _WHOLE:
        if re.fullmatch(pattern, _plain(stated)):
            return answer
    named = [_plain(re.sub(r"^\s*[\w.]+:\s+", "", part)) for part in re.split(r"[/;,|]|\s(?:or|and)\s", stated.lower())]
    named = [re.sub(r"-sources?$", "", name) for name in named if name]
    grants = [name for name in named if not _origin(name)]
    if not grants:
        return Terms("unclear", reason=next(filter(None, map(_origin, named)), "no licence is named"))
    answers = [_known(name) for name in grants]
    if _forbids(remarks):
        answers.append(Terms("unclear", reason="a remark restricts its use"))
    worst = max(answers, key=lambda one: ("yes", "unclear", "no").index(one.commercial))
    if worst.commercial != "yes":
        return worst
    return Terms("yes", _duties(answers))


def commercial_use(licences: Iterable[str]) -> CommercialUse:
    """Sum up the licences of everything that a model learned from; nothing at all is not clear either.

    >>> commercial_use(["CC0-1.0", "CC-BY-4.0"]).text()
    'commercial use: clear, with attribution'
    >>> commercial_use(["CC0-1.0", "CC-BY-NC-3.0"]).text()
    'commercial use: not clear because of CC-BY-NC-3.0 (non-commercial)'
    """
    every = {licence: terms(licence) for licence in sorted(set(licences))}
    because = tuple(
        f"{' '.join(licence.split()) or 'an empty licence'} ({answer.reason})"
        for licence, answer in every.items()
        if answer.commercial != "yes"
    )
    if not every:
        because = ("an empty ledger: nobody wrote down what the model learned from",)
    return CommercialUse(not because, because, _duties(every.values()))


_SPELLED_OUT = re.compile(r"(?:creative commons )?attribution\b[ -]*(.{0,60})")
_ABBREVIATED = re.compile(r"\bcc[ -]?by((?:[ -](?:nc|nd|sa))*)(?![a-z])[ -]?(\d\.\d)?")
_ADDRESS = re.compile(r"creativecommons\.org/licenses/by((?:-(?:nc|nd|sa))*)/(\d\.\d)?")


def in_text(text: str) -> tuple[str, ...]:
    """Return the licences that running text names (a LICENSE file's words), as identifiers, sorted.

    >>> in_text("is licensed under a Attribution-Noncommercial-Share Alike 3.0 United States License.")
    ('CC-BY-NC-SA-3.0',)
    >>> in_text("All recordings were marked as in the Public Domain"), in_text("all rights reserved")
    (('public-domain',), ())
    """
    identifiers = set()
    for line in text.lower().splitlines():
        if re.search(r"\bcc[ -]?(0|zero)\b|publicdomain/zero", line):
            identifiers.add("CC0-1.0")
        elif re.search(r"public[ -]domain|publicdomain/mark", line):
            identifiers.add("public-domain")
        abbreviated = _ADDRESS.search(line) or _ABBREVIATED.search(line)
        if abbreviated:
            identifiers.add(_identifier(abbreviated[1], abbreviated[2]))
        elif (spelled := _SPELLED_OUT.search(line)) and re.search(r"licen[cs]e|\d\.\d|creative commons", line):
            version = re.search(r"\d\.\d", spelled[1])
            identifiers.add(_identifier(spelled[1], version[0] if version else None))
    # A line with the address and one with the name often name the same licence, one of them without the version.
    versions = {re.sub(r"-\d\.\d$", "", name) for name in identifiers if re.search(r"-\d\.\d$", name)}
    return tuple(sorted(identifiers - versions))


def _identifier(elements: str, version: str | None) -> str:
    words = re.sub(r"[ -]", "", elements)
    short = [part for part in re.split(r"[ -]", elements) if part in ("nc", "nd", "sa")]
    parts = ["CC-BY"]
    parts += ["NC"] if "noncommercial" in words or "nc" in short else []
    parts += ["ND"] if "noderiv" in words or "nd" in short else []
    parts += ["SA"] if "sharealike" in words or "sa" in short else []
    return "-".join(parts + ([version] if version else []))


def _without_brackets(licence: str) -> tuple[str, str]:
    """Return what stands outside of round brackets, and what stands inside."""
    remarks: list[str] = []
    while brackets := re.search(r"\(([^()]*)\)", licence):
        remarks.append(brackets[1])
        licence = licence[: brackets.start()] + " " + licence[brackets.end() :]
    return licence, " ".join(remarks)


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower()).strip("-")


def _known(name: str) -> Terms:
    for pattern, answer in _KNOWN:
        if re.fullmatch(pattern, name):
            return answer
    if _forbids(name):
        return Terms("no", reason="non-commercial")
    return Terms("unclear", reason="a licence that kws does not know")


def _origin(name: str) -> str:
    return next((reason for pattern, reason in _ORIGINS if re.fullmatch(pattern, name)), "")


def _forbids(text: str) -> bool:
    return _FORBIDDEN.search(_BOTH_USES.sub("", _plain(text))) is not None


def _duties(answers: Iterable[Terms]) -> tuple[str, ...]:
    required = {duty for answer in answers for duty in answer.duties}
    return tuple(duty for duty in (_ATTRIBUTION, _SHARE_ALIKE) if duty in required)
