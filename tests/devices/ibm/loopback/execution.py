"""What the service does with a job once it runs: PUBs of the old primitives, quantum programs of the Executor."""

import json
from importlib import import_module
from typing import Any

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import EstimatorV2, SamplerV2
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

SEED = 7


def execute(program: str, params: dict[str, Any]) -> str:
    """The encoded result of a job, run without noise; the old Estimator's is exact, others have shots."""
    if program == "executor":
        return _run_program(params)
    pubs = json.loads(json.dumps(params), cls=RuntimeDecoder)["pubs"]
    return json.dumps(_estimate(pubs) if program == "estimator" else _sample(pubs), cls=RuntimeEncoder)


def _estimate(pubs: list[Any]) -> Any:
    exact = [EstimatorPub.coerce((circuit, observables, values, 0)) for circuit, observables, values, *_ in pubs]
    return EstimatorV2().run(exact).result()


def _sample(pubs: list[Any]) -> Any:
    return SamplerV2(seed=SEED).run([SamplerPub.coerce(tuple(pub)) for pub in pubs]).result()


def _run_program(params: dict[str, Any]) -> str:
    """As the Executor does, with the client's own converters and local simulation (0.50 and later)."""
    converters = import_module("qiskit_ibm_runtime.quantum_program.params_converters").QUANTUM_PROGRAM_PARAMS_CONVERTERS
    simulate = import_module("qiskit_ibm_runtime.fake_provider.executor.run_quantum_program").run_quantum_program
    options = import_module("qiskit_ibm_runtime.options_models").SimulatorOptions(seed_simulator=SEED)
    converter = converters[params["schema_version"]]
    program, _ = converter.decoder(converter.model.model_validate(params))
    for item in program.items:
        if hasattr(item, "samplex"):
            item.samplex.finalize()
    return _encoded(simulate(AerSimulator(), program, options), params["schema_version"])


def _encoded(result: Any, version: str) -> str:
    number = version.removeprefix("v").replace(".", "_")
    models = import_module(f"ibm_quantum_schemas.executor.version_{number}")
    tensor = import_module("ibm_quantum_schemas.common").CompressedTensorModel
    passed = import_module(f"qiskit_ibm_runtime.quantum_program.converters.converters_{number}")
    items = [
        models.QuantumProgramResultItemModel(
            results={name: tensor.from_numpy(array) for name, array in item.items()},
            metadata=models.ItemMetadataModel(),
        )
        for item in result
    ]
    document: str = models.QuantumProgramResultModel(
        data=items,
        metadata=models.MetadataModel(chunk_timing=[]),
        passthrough_data=getattr(passed, f"passthrough_data_to_{number}")(result.passthrough_data),
        semantic_role=result._semantic_role,
    ).model_dump_json()
    return document
