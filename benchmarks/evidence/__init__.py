"""Do the models learn real data, at which cost, and do they stay stable?

``python -m benchmarks.evidence.TASK [--layer NAME] [--seeds 3] [--quick] [--device cpu|cuda]`` trains one task, prints
what it finds and adds it to benchmarks/results/evidence-DATE.json and .md, missed targets included. Each file is one
task: `digits`, `delayed_copy`, `rate_change`, `spoken_digits`, `sequential_mnist`, `state_sweep`; `extrapolation`,
`upsample_mnist`, `upsample_cifar` and `idempotent_digits` have options and pages of their own. Data come from
`benchmarks.datasets`; the splits are fixed, and an accuracy is that after the last epoch, never the best one.
``--quick`` only shows that everything runs, and is stored apart.
"""
