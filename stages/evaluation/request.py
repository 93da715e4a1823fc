"""What is asked for, held against the model before any work: classes, files, what they are now."""

import dataclasses

from pipeline import __version__
from pipeline.config import PipelineConfig
from pipeline.ports import PredictionsPort
from stages.datasets.cache import fingerprint
from stages.evaluation.plan import Plan
from stages.evaluation.results import Request
from stages.evaluation.selection import Selection, labels_for
from stages.evaluation.work import port_of

__all__ = ["request_of"]


def request_of(config: PipelineConfig, plan: Plan, chosen: Selection) -> tuple[Request, list[int]]:
    """Return what is asked for, and which of the model's classes each class of the data is.

    Raises:
        ConfigError: the stages do not fit the recordings or each other, or the model does not know
            a class.
    """
    items = [plan.played(item) for item in chosen.items]
    decision = plan.build(port_of(items[0]))[-1]
    port = decision.port()
    assert isinstance(port, PredictionsPort)
    labels = labels_for(chosen.classes, port.classes)
    stages = [dataclasses.asdict(one) for one in plan.stages]
    files = [one.options for one in plan.stages]
    truth = [labels[item.label] for item in items]
    return Request(
        name=config.run.name,
        pipeline=str(config.path),
        overrides=list(config.overrides),
        decision=plan.decision,
        data=chosen.data,
        part=chosen.part,
        classes=list(port.classes),
        recordings=len(items),
        scores=port.scores,
        fingerprint=fingerprint(items, files, stages, truth, __version__),
    ), labels
