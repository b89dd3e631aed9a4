"""What an evaluation tells first: the phrase alone against ordinary speech."""

from collections.abc import Sequence

from kws.data.phrases import positive_labels
from kws.evaluate.results import HEADLINE_NEGATIVES
from kws.streams.metrics import Trace
from kws.streams.plan import Plan

Groups = dict[str, list[Trace]]


def by_label(traces: Sequence[Trace]) -> Groups:
    """Return the traces of each label, in their order."""
    groups: Groups = {}
    for trace in traces:
        groups.setdefault(trace.layout.label, []).append(trace)
    return groups


def headline(groups: Groups, phrase: str) -> tuple[list[Trace], list[Trace]]:
    """Return the positives and negatives that the headline and the DET curve are about; none where there are none.

    The phrase alone before the phrase in sentences; ordinary speech, or all negatives where there is none.
    """
    positives = next((groups[label] for label in positive_labels(phrase) if label in groups), [])
    others = [trace for label, group in groups.items() if label not in positive_labels(phrase) for trace in group]
    negatives = groups.get(HEADLINE_NEGATIVES, others)
    return positives, negatives if sum(trace.layout.hours for trace in negatives) > 0.0 else []


def headline_plans(planned: Sequence[Plan], phrases: Sequence[str]) -> list[Plan]:
    """Return the streams that the headline is about, before anything is listened to."""
    if not any(plan.label == HEADLINE_NEGATIVES for plan in planned):
        return list(planned)
    there = {plan.label for plan in planned}
    alone = {next((label for label in positive_labels(phrase) if label in there), "") for phrase in phrases}
    return [plan for plan in planned if plan.label in {HEADLINE_NEGATIVES, *alone}]
