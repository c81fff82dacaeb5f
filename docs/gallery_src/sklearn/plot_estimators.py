"""
Which pixels are enough? Features chosen by a tolerance, in a pipeline
======================================================================

A number of components says little about what they leave out. The estimators of `lina.sklearn` also take the error
that is allowed, choose the number themselves, and state the error of every fit. Here they stand before a classifier
of digits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from lina.sklearn import InterpolativeDecomposition, TruncatedSVD

BLUE, ORANGE = "#0072B2", "#D55E00"
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, test_size=0.3, random_state=0)

# %%
# `lina.sklearn.TruncatedSVD` makes new features, mixtures of all 64 pixels; `lina.sklearn.InterpolativeDecomposition`
# keeps some of the pixels, from which the others follow linearly: only these have to be measured from then on. The
# error is that of the training data, rounding included; on other images it is no promise, but it can be measured.

tolerances = (0.6, 0.5, 0.4, 0.3, 0.2)
results = {}
for estimator in (TruncatedSVD, InterpolativeDecomposition):
    for rtol in tolerances:
        features = estimator(None, rtol=rtol, random_state=0)
        model = make_pipeline(features, LogisticRegression(max_iter=2000)).fit(X_train, y_train)
        rebuilt = features.inverse_transform(features.transform(X_test))
        error = np.linalg.norm(rebuilt - X_test) / np.linalg.norm(X_test)
        count = features.transform(X_test).shape[1]
        results[estimator, rtol] = count, features.relative_error_, error, model.score(X_test, y_test)
        print(
            f"{estimator.__name__:26}  allowed {rtol}  certified {features.relative_error_:.3f}  new images {error:.3f}"
            f"  features {count:2}  right {results[estimator, rtol][3]:.3f}"
        )

# %%
# At errors of 0.3 and below the classifier is as good on pixels as on mixtures, of which there are two thirds as many.

fig, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
for estimator, colour in ((TruncatedSVD, BLUE), (InterpolativeDecomposition, ORANGE)):
    counts, _, _, right = zip(*(results[estimator, rtol] for rtol in tolerances), strict=True)
    axis.plot(counts, right, "o-", color=colour, label=estimator.__name__)
axis.set(xlabel="features", ylabel="digits told right", ylim=(0, 1))
axis.legend()
plt.show()

# %%
# The pixels that are kept, in their order of importance, and digits that the classifier has not seen, rebuilt from
# these pixels alone.

features = InterpolativeDecomposition(None, rtol=0.4, random_state=0).fit(X_train)
order = np.full(64, np.nan)
order[features.indices_] = np.arange(len(features.indices_))
rebuilt = features.inverse_transform(features.transform(X_test))
fig, axes = plt.subplots(2, 7, figsize=(8, 2.6), layout="constrained")
for axis in axes.flat:
    axis.axis("off")
axes[0, 0].imshow(order.reshape(8, 8), cmap="viridis_r")
axes[0, 0].set_title(f"{len(features.indices_)} pixels, first\nto last", fontsize=8)
for j in range(1, 7):
    axes[0, j].imshow(X_test[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    axes[1, j].imshow(rebuilt[j].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
plt.show()
