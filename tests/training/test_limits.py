"""A learned number beyond its limit: the limit is used, and a step back inside is taken."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simcrop_training.objectives.limits import limited
from step_gradients import steady

LEAST, MOST = -1.0, 2.0
NUMBERS = st.floats(-5, 5, allow_nan=False).filter(lambda number: number not in (LEAST, MOST))


@given(number=NUMBERS, slope=st.sampled_from([-3.0, -0.5, 0.0, 0.5, 3.0]))
@settings(max_examples=60, deadline=None)
def test_a_gradient_passes_unless_its_step_leads_further_out(number, slope):
    x = torch.tensor([number], dtype=torch.float64, requires_grad=True)
    used = limited(x, least=LEAST, most=MOST)
    assert used.item() == min(max(number, LEAST), MOST)
    (slope * used).sum().backward()
    further_out = (number > MOST and slope < 0) or (number < LEAST and slope > 0)
    assert x.grad.item() == (0 if further_out else slope)


def test_descent_comes_back_from_both_sides_and_stays_at_a_limit_that_it_would_pass():
    x = torch.tensor([9.0, -9.0, 1.0], requires_grad=True)
    aims = torch.tensor([0.5, 0.5, 7.0])
    optimiser = torch.optim.SGD([x], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        (limited(x, least=LEAST, most=MOST) - aims).square().sum().backward()
        optimiser.step()
    torch.testing.assert_close(x[:2], aims[:2])
    assert MOST <= x[2] < MOST + 1


def instance_scale(objective):
    return objective.network.instance.log_scale, objective.network.instance.scale


def divisor(objective):
    return objective.module.temperature, lambda: objective.module.divisor(0.001, 0.5)


@pytest.mark.parametrize(
    ("method", "parts", "stored", "used", "inward"),
    [
        ("simcrop_plus", instance_scale, math.log(150), 100, 1),
        ("fvlm", divisor, 0.8, 0.5, 1),
        ("fvlm", divisor, 1e-5, 0.001, -1),
    ],
)
def test_the_scales_of_the_other_methods_come_back_too(method, parts, stored, used, inward):
    """`inward`: the sign of the gradient whose step leads back."""
    parameter, scale = parts(steady(method))
    with torch.no_grad():
        parameter.fill_(stored)
    found = []
    for sign in (inward, -inward):
        parameter.grad = None
        result = scale()
        assert result.item() == pytest.approx(used)
        (sign * result).sum().backward()
        found.append(float(parameter.grad))
    assert found[0] * inward > 0
    assert found[1] == 0
