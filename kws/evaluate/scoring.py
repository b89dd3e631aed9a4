"""Plans -> score traces: decode, lay out and score every stream once, on all processor cores.

Threads, not processes: decoding and the compiled engine run outside Python's lock, nothing has to be pickled, and a
user's script needs no ``__main__`` guard. The numpy engine gains less; it gives the same numbers.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from kws import pipeline, progress
from kws.evaluate.metrics import Trace
from kws.evaluate.stream import Plan, build
from kws.evaluate.transcripts import Transcripts
from kws.model_file import KwsModel

MAX_WORKERS = 8


def score(model: KwsModel, plan: Plan, engine: str, transcripts: Transcripts) -> Trace:
    """Build one stream and return its trace."""
    stream = build(plan, transcripts)
    scores = pipeline.scores(model, stream.samples, engine)
    return Trace(stream.layout, scores, pipeline.step_time_s(model, 0), model.step_ms / 1000.0)


def score_all(
    model: KwsModel, plans: Sequence[Plan], engine: str = "auto", transcripts: Transcripts | None = None
) -> tuple[Trace, ...]:
    """Return the trace of every plan, in the plans' order; shows progress in seconds of audio.

    Raises:
        KwsError: a clip cannot be read or the engine is not available; the remaining streams are not begun.
    """
    workers = max(1, min(len(plans), os.cpu_count() or 1, MAX_WORKERS))
    total_s = sum(plan.duration_s for plan in plans)
    with ThreadPoolExecutor(workers) as pool, progress.bar("Scoring", round(total_s)) as advance:
        futures = {pool.submit(score, model, plan, engine, transcripts or {}): plan for plan in plans}
        try:
            for future in as_completed(futures):
                future.result()
                advance(futures[future].duration_s, note=futures[future].label)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return tuple(future.result() for future in futures)
