"""``pipeline schema``."""

import json

__all__ = ["schema"]


def schema() -> None:
    """Print the JSON schema of pipeline files, from which an editor knows their keys.

    Stages of other packages that are installed are in it too.
    """
    from pipeline.registry import stage_names
    from pipeline.schema import pipeline_schema

    print(json.dumps(pipeline_schema(stage_names()), indent=1, ensure_ascii=False))
