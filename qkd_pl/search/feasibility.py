"""What a draft costs, and whether any student of a space is feasible: known before the first training."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np

from qkd_pl.errors import BackendError, InvalidInputError
from qkd_pl.networks.models import trained
from qkd_pl.networks.weights import checked_shape, joined_weights
from qkd_pl.search.drafts import Draft, draft_of
from qkd_pl.search.evaluation import Price, a_few, price
from qkd_pl.search.question import Question
from qkd_pl.search.space import SearchSpace

#: Choices that decide what a circuit costs; of layers the fewest cost least.
_STRUCTURE = ("topology", "n_qubits", "network", "readout", "entangler", "compress", "absorb")


def priced(draft: Draft, question: Question, absorb: bool, seed: int) -> Price:
    """What a draft costs on the device, whatever its weights.

    Raises:
        InvalidInputError, BackendError: its circuit does not run there.
    """
    generator = np.random.default_rng(seed)
    shape = checked_shape(draft.network.weights_shape)
    weights = (
        {name: generator.uniform(0, 2 * np.pi, each) for name, each in shape.items()}
        if isinstance(shape, Mapping)
        else generator.uniform(0, 2 * np.pi, shape)
    )
    task: Any = question.task
    model = trained(draft.network, joined_weights(weights, shape), task)
    return price(
        model,
        draft.untrained(seed)(a_few(question.inputs)),
        question.n_inputs,
        question.spec,
        absorb=absorb,
        ideal_preparation=question.ideal_preparation,
    )


def first_feasible(question: Question, space: SearchSpace, distributions: Mapping[str, Any]) -> dict[str, Any]:
    """The first student of the space that keeps the limits, to begin the search with.

    Raises:
        InvalidInputError: none does; the message says why not the one that came closest.
    """
    reasons: list[tuple[float, str]] = []
    for drawn in _cheapest(space.first(distributions, question.first_scale), distributions):
        try:
            costs = priced(draft_of(drawn, question, space), question, drawn["absorb"], question.seed)
        except (InvalidInputError, BackendError) as error:
            reasons.append((np.inf, str(error)))
            continue
        if (reason := costs.exceeds(question.limits)) is None:
            return drawn
        # Gates, depth and seconds compare by how many times their limits they are; a limit may be 0.
        over = max((getattr(costs, name) + 1) / (limit + 1) for name, limit in question.limits.items())
        reasons.append((over, reason))
    raise InvalidInputError(f"no student of the space is feasible; the closest one: {min(reasons)[1]}")


def _cheapest(first: Mapping[str, Any], distributions: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The students of fewest layers, one for each structure, the first choices first."""
    fewest = {name: min(distributions[name].choices) for name in ("n_layers", "encoder_layers") if name in first}
    names = [name for name in _STRUCTURE if name in first]
    for choices in product(*(distributions[name].choices for name in names)):
        yield {**first, **fewest, **dict(zip(names, choices, strict=True))}
