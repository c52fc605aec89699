"""Which pair a prompt's samples give, and how sure they are."""

from rlp_bench.trainers.equations.synthetic_preference_selection import select_preference

CLUSTERS = [0, 1, 0, 2, 0, 1, 3, 0, 0, 4]
REWARDS = [0.1, 9.0, 0.7, 0.0, 0.3, 8.0, 7.0, 0.2, 0.5, 6.0]


def test_five_of_ten():
    # By hand: cluster 0 has responses 0 2 4 7 8, confidence .5, best reward .7 at 2; outside 1 3 5 6 9, draw .5 → 5.
    found = select_preference(CLUSTERS, REWARDS, draw_rejected=0.5)
    assert found.members == (0, 2, 4, 7, 8)
    assert (found.confidence, found.chosen, found.rejected) == (0.5, 2, 5)


def test_every_response_outside_is_equally_likely_to_be_rejected():
    drawn = [select_preference(CLUSTERS, REWARDS, draw_rejected=(i + 0.5) / 100).rejected for i in range(100)]
    assert {index: drawn.count(index) for index in sorted(set(drawn))} == {1: 20, 3: 20, 5: 20, 6: 20, 9: 20}
    assert select_preference(CLUSTERS, REWARDS, draw_rejected=1 - 2**-53).rejected == 9


def test_a_random_winner_is_any_member():
    drawn = {select_preference(CLUSTERS, REWARDS, 0.0, "random", i / 10).chosen for i in range(10)}
    assert drawn == {0, 2, 4, 7, 8}


def test_one_cluster_has_nothing_to_reject():
    found = select_preference([0] * 10, REWARDS, 0.3)
    assert (found.confidence, found.rejected) == (1.0, None)


def test_equal_clusters_go_by_mean_reward_then_by_place():
    assert select_preference([0, 1, 0, 1], [0.5, 0.0, 0.5, 0.9], 0.0).members == (0, 2)
    assert select_preference([0, 1, 0, 1], [0.0, 1.0, 0.5, 0.1], 0.0).members == (1, 3)
    assert select_preference([0, 1, 0, 1], [0.5, 0.0, 0.5, 1.0], 0.0).members == (0, 2)


def test_equal_rewards_go_to_the_first():
    assert select_preference([0, 0, 1], [0.5, 0.5, 0.9], 0.0).chosen == 0


def test_a_higher_reward_for_a_member_can_only_make_it_the_chosen_one():
    better = [*REWARDS[:8], 5.0, REWARDS[9]]
    assert select_preference(CLUSTERS, better, 0.5).chosen == 8
    assert select_preference(CLUSTERS, [r * 10 for r in REWARDS], 0.5) == select_preference(
        CLUSTERS, REWARDS, 0.5
    )


def test_the_rejected_response_can_be_the_one_nearest_in_length():
    # By hand: y_w is 2 with 12 tokens; outside 1 3 5 6 9 with 30 11 13 5 40: 3 and 5 are one token away.
    lengths = [9, 30, 12, 11, 9, 13, 5, 9, 9, 40]
    drawn = {
        select_preference(CLUSTERS, REWARDS, i / 10, loser="nearest_length", lengths=lengths).rejected
        for i in range(10)
    }
    assert drawn == {3, 5}
    assert select_preference([0] * 10, REWARDS, 0.3, loser="nearest_length", lengths=lengths).rejected is None
