"""Examples that the help of each command ends with; the reference shows them too."""

__all__ = ["EXAMPLES", "epilog"]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": (
        "pipeline run",
        "pipeline run models/pipelines/nmnist.toml --set camera.speed=0",
        "pipeline run --set camera.path=my.raw --dashboard",
        "pipeline run --json 2>lines.txt >result.json",
    ),
    "agent": ("pipeline agent --host roof mine.toml",),
    "top": ("pipeline top", "pipeline top --json"),
    "view": ("pipeline view",),
    "runs": ("pipeline runs", "pipeline runs --json"),
    "init": (
        "pipeline init mine.toml",
        "pipeline init live.toml --from dv_camera --network dvs_gesture --to screen --name live",
    ),
    "check": (
        "pipeline check",
        "pipeline check mine.toml --set 'bins.size=[40, 40]'",
        "pipeline check --capacity --rate 2e6 --cameras 4",
    ),
    "doctor": ("pipeline doctor",),
    "schema": ("pipeline schema >pipeline.schema.json",),
    "stages": ("pipeline stages", "pipeline stages time_bin"),
    "cameras": ("pipeline cameras",),
    "info": ("pipeline info my.raw", "pipeline info recordings --json"),
    "convert": (
        "pipeline convert my.raw my.aedat4",
        "pipeline convert my.aedat4 part.h5 --start-s 2 --stop-s 5",
        "pipeline convert recordings/digits_simulated out/converted --to .h5",
    ),
    "record": ("pipeline record tape.aedat4 --from dv_camera --seconds 10",),
    "simulate": (
        "pipeline simulate my --people 1 --first 2",
        "pipeline simulate data/simulated_digits --data-set digits",
    ),
    "train": ("pipeline train models/recipes/nmnist.toml --variant simulated",),
    "evaluate": (
        "pipeline evaluate models/pipelines/nmnist.toml --data nmnist=data/NMNIST --part test",
    ),
    "compile": (
        "pipeline compile jester",
        "pipeline compile models/weights/dvs_gesture.safetensors --verify my.aedat4",
        "pipeline compile models/weights/dvs_gesture.safetensors --emulator --out out/chip",
    ),
    "bench": ("pipeline bench --only read --quick",),
    "fault": ("pipeline fault mine.toml --kill network --times 3",),
    "models list": ("pipeline models list",),
    "models show": ("pipeline models show models/weights/dvs_gesture.safetensors",),
    "models import": ("pipeline models import best.pth --as mnist_dvs --option head=per_step",),
    "models new": ("pipeline models new --for models/pipelines/jester.toml",),
    "models export": (
        "pipeline models export models/weights/dvs_gesture.safetensors --to onnx"
        " --out out/net.onnx",
    ),
    "keys make": ("pipeline keys make",),
    "keys show": ("pipeline keys show",),
    "keys allow": ("pipeline keys allow roof KEY",),
    "keys list": ("pipeline keys list",),
    "keys revoke": ("pipeline keys revoke roof",),
}
"""Command lines of each command; a test holds them to its options."""


def epilog(command: str) -> str:
    """Return what the help of a command ends with."""
    lines = EXAMPLES.get(command, ())
    # Lines of a paragraph would be filled up; a blank one keeps them apart.
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines]) if lines else ""
