"""How the equations of NIR, which are in continuous time, become steps.

NIR (Pedersen et al., Nature Communications 15:8122, 2024) gives neurons as differential equations
and leaves the steps to whoever runs them. The frameworks that write NIR differ there, and their
files do not say which of them wrote it, so it has to be told. `ORIGINS` holds how each of them
steps a layer that was made without further arguments; found in their code and held against their
outputs (``tests/models/interchange``), at the versions that are named there.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args, get_type_hints

from models.choices import offer
from models.errors import ModelError

__all__ = ["ORIGINS", "TIMED", "Decay", "Fires", "Inflow", "Origin", "Reset", "Scheme"]

Decay: TypeAlias = Literal["euler", "exponential"]
Fires: TypeAlias = Literal["above", "at", "many"]
Reset: TypeAlias = Literal["value", "subtract", "subtract_later"]
Inflow: TypeAlias = Literal["rate", "jump", "li_jump"]


@dataclass(frozen=True)
class Scheme:
    """How neurons are stepped.

    Attributes:
        dt_s: Length of a step in the unit of the file's time constants, which NIR says are seconds.
        decay: Share ``k`` of the way to its goal that a membrane goes in a step: ``dt / tau``, or
            ``1 - exp(-dt / tau)``.
        fires: ``above`` the threshold; ``at`` it too; ``many``: as many spikes as the threshold
            goes into the membrane.
        reset: ``value``: to the file's ``v_reset``; ``subtract`` the threshold, once a spike;
            ``subtract_later``: in the next step, behind the decay.
        inflow: ``rate``: what comes in is integrated over the step, as NIR has it; ``jump``: I, IF
            and the current of CubaLIF and CubaLI take it whole, however long the step is;
            ``li_jump``: LI does.

    Raises:
        ModelError: A value is none of the choices, or no length of time.
    """

    dt_s: float = 1e-3
    decay: Decay = "euler"
    fires: Fires = "above"
    reset: Reset = "value"
    inflow: Inflow = "rate"

    def __post_init__(self) -> None:
        """Refuse what is no scheme."""
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if name == "dt_s":
                number = isinstance(value, int | float) and not isinstance(value, bool)
                if not number or not 0 < value < float("inf"):
                    raise ModelError(f"dt_s must be a number of seconds above 0, got {value!r}")
            elif value not in get_args(kind):
                raise ModelError(
                    f"{name} must be one of the choices, got {value!r}; "
                    f"{offer(str(value), get_args(kind))}"
                )


@dataclass(frozen=True)
class Origin:
    """A framework that writes NIR.

    Attributes:
        scheme: How it steps.
        real_time: Whether ``dt_s`` is the length of a step in time; elsewhere it is a number that
            the exporter puts in and takes out again, and says nothing of the data.
    """

    scheme: Scheme
    real_time: bool = False


ORIGINS = {
    "nir": Origin(Scheme(), real_time=True),
    "snntorch": Origin(Scheme(1e-4, reset="subtract_later")),
    # norse writes dt·tau where NIR has tau, with dt = 1 ms, and steps by 1 ms.
    "norse": Origin(Scheme(1e-6, inflow="jump")),
    # Sinabs writes r = 1, and only its leaky integrator does not normalise what comes in.
    "sinabs": Origin(Scheme(1.0, "exponential", "many", "subtract", "li_jump")),
    "spikingjelly": Origin(Scheme(1e-4, fires="at")),
}
"""Who wrote a file -> how it is stepped; ``nir`` is the definition, with nothing added."""

TIMED = frozenset({"LIF", "CubaLIF", "LI", "CubaLI", "IF", "I", "Delay"})
"""Nodes to which the length of a step means something."""
