"""Encoders, critic, queue and objectives beside a reward model; the optimiser's second group; where views are read."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from rlp_bench.trainers.modeling.checkpoints import new_reward
from rlp_bench.trainers.modeling.pair_scoring import pair_scores, pair_states, row_scores, row_states
from rlp_bench.trainers.reward.multi_view.heads import Critic, Encoder, FeatureQueue, Prototypes
from rlp_bench.trainers.reward.multi_view.objectives import InfoMax, MultiViewBottleneck, SwappedPrediction
from rlp_bench.trainers.training.optimizer import Optimizer


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def noise(seed=0):
    return torch.Generator().manual_seed(seed)


def by_hand(network, row):
    """Linear, ReLU, Linear, ReLU, Linear in plain Python."""
    layers = [layer for layer in network if isinstance(layer, nn.Linear)]
    values = row.tolist()
    for depth, layer in enumerate(layers):
        weight, bias = layer.weight.tolist(), layer.bias.tolist()
        values = [
            sum(w * v for w, v in zip(line, values, strict=True)) + b
            for line, b in zip(weight, bias, strict=True)
        ]
        values = values if depth == 2 else [max(0.0, v) for v in values]
    return values


@pytest.mark.parametrize("shared", [True, False])
def test_an_encoder_gives_mean_and_deviation(shared):
    """One trunk's outputs are halved; two networks give one half each."""
    encoder = Encoder(7, 5, 3, shared)
    views = torch.randn(4, 7)
    mean, std = encoder(views)
    for row, view in enumerate(views):
        outputs = [value for network in encoder.networks for value in by_hand(network, view)]
        assert mean[row].tolist() == pytest.approx(outputs[:3], abs=1e-6)
        assert std[row].tolist() == pytest.approx(
            [math.log1p(math.exp(x)) + 1e-7 for x in outputs[3:]], abs=1e-6
        )
    assert len(encoder.networks) == (1 if shared else 2)


def test_a_critic_sees_first_and_second_in_their_places():
    critic = Critic(2, 3, 5)
    first, second = torch.randn(4, 2), torch.randn(6, 3)
    scores = critic(first, second)
    assert scores.shape == (4, 6)
    for i in range(4):
        for j in range(6):
            alone = by_hand(critic.network, torch.cat([first[i], second[j]]))[0]
            assert scores[i, j].item() == pytest.approx(alone, abs=1e-6)


def test_half_precision_states_are_encoded_in_fp32():
    encoder = Encoder(7, 5, 3)
    assert encoder(torch.randn(4, 7).bfloat16())[1].dtype == torch.float32
    assert Critic(7, 3, 5)(torch.randn(4, 7).bfloat16(), torch.randn(4, 3)).dtype == torch.float32


def train_on(first, second, steps=300, batch=48):
    """A bottleneck without SKL on fresh rows of (first, second), and what it says of rows it has not seen."""
    width = first.shape[1]
    module = MultiViewBottleneck(Encoder(width, 32, 2), Critic(2, 2, 32), "all", "closed", lambda step: 0.0)
    adam = torch.optim.Adam(module.parameters(), lr=3e-3)
    for step in range(steps):
        rows = slice(step * batch, (step + 1) * batch)
        loss, _ = module(first[rows], second[rows], step, noise(step))
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return module(first[-500:], second[-500:], steps, noise())[1]


def test_a_trained_critic_measures_the_information_there_is_and_finds_none_where_there_is_none():
    """Two Gaussians with correlation .9: I = -log(1 - .81)/2 = .83 nats, less what the encoder's own noise takes."""
    n = 300 * 48 + 500
    first, other = torch.randn(n, 1), torch.randn(n, 1)
    found = train_on(first, 0.9 * first + math.sqrt(1 - 0.81) * other)
    assert 0.5 < found["mi_nats"] < 0.95
    assert 0.5 < found["mi_infonce_nats"] < 0.95
    assert found["mi_shuffled_nats"] == 0
    assert found["collapsed"] == 0
    assert abs(train_on(first, other)["mi_nats"]) < 0.03


def test_the_bottlenecks_terms_are_those_of_its_own_encodings():
    module = MultiViewBottleneck(
        Encoder(4, 8, 3), Critic(3, 3, 8), "roll", "closed", lambda step: 0.25 * step
    )
    first, second = torch.randn(5, 4), torch.randn(5, 4)
    loss, terms = module(first, second, 2, noise())
    assert terms["skl_weight"] == 0.5
    assert loss.item() == pytest.approx(-terms["jsd"] + 0.5 * terms["skl"], abs=1e-6)
    mean, std = module.encoder(first)
    assert terms["mean_sigma"] == pytest.approx(std.mean().item())
    assert terms["mu_std"] == pytest.approx(mean.std(0).mean().item())
    assert terms["jsd"] == pytest.approx(-2 * math.log(2), abs=0.1)
    p, q = (torch.distributions.Normal(*module.encoder(view)) for view in (first, second))
    kl = torch.distributions.kl_divergence
    assert terms["skl"] == pytest.approx(((kl(p, q) + kl(q, p)).sum(-1) / 2).mean().item(), rel=1e-5)
    drawn = MultiViewBottleneck(module.encoder, module.critic, "roll", "mc", lambda step: 1.0)
    values = [drawn(first, second, 0, noise(seed))[1]["skl"] for seed in range(400)]
    assert sum(values) / 400 == pytest.approx(terms["skl"], abs=4 * torch.tensor(values).std().item() / 20)


def test_a_representation_that_tells_no_prompt_from_another_is_called_collapsed():
    module = MultiViewBottleneck(Encoder(4, 8, 3), Critic(3, 3, 8), "all", "closed", lambda step: 1.0)
    alike = torch.ones(8, 4)
    assert module(alike, alike, 0, noise())[1]["collapsed"] == 1
    assert module(10 * torch.randn(8, 4), torch.randn(8, 4), 0, noise())[1]["collapsed"] == 0
    with torch.no_grad():
        module.encoder.networks[1][-1].bias.fill_(-20.0)
    assert module(10 * torch.randn(8, 4), torch.randn(8, 4), 0, noise())[1]["collapsed"] == 1  # no noise left
    prototypes = SwappedPrediction(Prototypes(4, 8, 6), FeatureQueue(0))
    assert prototypes(alike, alike, 0, noise())[1]["collapsed"] == 1
    assert prototypes(10 * torch.randn(8, 4), torch.randn(8, 4), 0, noise())[1]["collapsed"] == 0


def test_the_critic_of_info_max_passes_no_gradient_to_the_hidden_state():
    """Only by way of z: with an encoder that ignores its input, nothing arrives."""
    module = InfoMax(Encoder(4, 8, 3), Critic(4, 3, 8), "all")
    views = [torch.randn(8, 4, requires_grad=True) for _ in range(2)]
    module(*views, 0, noise())[0].backward()
    assert all(view.grad.abs().sum() > 0 for view in views)
    with torch.no_grad():
        for network in module.encoder.networks:
            network[0].weight.zero_()
    views = [torch.randn(8, 4, requires_grad=True) for _ in range(2)]
    module(*views, 0, noise())[0].backward()
    assert all(view.grad.abs().sum() == 0 for view in views)


def test_swapped_prediction_uses_the_queue_once_it_is_full_and_only_training_fills_it():
    module = SwappedPrediction(Prototypes(4, 8, 6), FeatureQueue(5))
    batches = [(torch.randn(3, 4), torch.randn(3, 4)) for _ in range(3)]
    module.eval()
    module(*batches[0], 0, noise())
    assert not module.queue.features.any()
    module.train()
    for step, batch in enumerate(batches[:2]):
        module(*batch, step, noise())
    for view in range(2):
        newest, older = module.heads(batches[1][view]), module.heads(batches[0][view])
        assert torch.equal(module.queue.features[view], torch.cat([newest, older])[:5].detach())
        features = module.heads(batches[2][view])
        assert len(module.queue.before(view, features)) == 8
        assert torch.equal(module.queue.before(view, features)[-3:], features)
    assert len(FeatureQueue(5).before(0, torch.ones(3, 128))) == 3
    assert not module.queue.features.requires_grad
    assert "queue.features" in dict(module.named_parameters())  # a checkpoint has it


def test_features_and_prototypes_are_unit_vectors():
    heads = Prototypes(4, 8, 6)
    features = heads(10 * torch.randn(5, 4))
    assert torch.allclose(features.norm(dim=-1), torch.ones(5), atol=1e-6)
    cosines = heads.scores(functional.normalize(heads.prototypes.weight, dim=-1))
    assert torch.allclose(cosines.diagonal(), torch.ones(6), atol=1e-6)


def test_a_second_group_has_its_own_rate_and_clip_and_changes_nothing_for_the_first():
    def parameter(value):
        return nn.Parameter(torch.tensor(value))

    settings = {"total_steps": 4, "peak": 1e-2, "warmup": 0.0, "schedule": "linear", "max_grad_norm": 0.5}
    alone, first, second = parameter([1.0, 2.0]), parameter([1.0, 2.0]), parameter([1.0])
    plain = Optimizer([alone], **settings)
    both = Optimizer([first], auxiliary=[second], auxiliary_peak=1e-1, **settings)
    for step in range(3):
        alone.grad, first.grad = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.0])
        second.grad = torch.tensor([1000.0])
        assert both.update(step, "here") == plain.update(step, "here")
    assert torch.equal(alone, first)
    # Adam with a constant gradient moves by the rate: .1 (1 + .75 + .5).
    assert second.item() == pytest.approx(1 - 0.225, abs=1e-5)


def test_views_are_what_the_reward_head_reads(policy_folder):
    model, _ = new_reward(policy_folder, 0)
    first = [[3, 4, 5, 9, 1], [3, 4, 1], [3, 4, 5, 6, 7, 9, 10, 1]]
    second = [[3, 4, 6, 1], [3, 4, 8, 1], [3, 4, 5, 6, 7]]
    states = pair_states(model, first, second, 0, 2)
    for state, scores, rows in zip(
        states, pair_scores(model, first, second, 0, 2), (first, second), strict=True
    ):
        assert torch.allclose(model.score(state).squeeze(-1), scores, atol=1e-7)
        alone = row_states(model, rows, 0, 2)
        assert torch.allclose(alone, state, atol=1e-5)
        assert torch.allclose(model.score(alone).squeeze(-1), row_scores(model, rows, 0, 2), atol=1e-7)
