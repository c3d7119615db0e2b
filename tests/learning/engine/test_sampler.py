from anyscene.learning.engine.sampler import Sampler


def test_places_share_the_scenes_out():
    sampler = Sampler(7, 3, seed=3)
    batches = [[sampler(step, place)[0] for place in range(3)] for step in range(12)]
    assert all(len(set(chosen)) == 3 for chosen in batches)
    for place, share in enumerate(([0, 3, 6], [1, 4], [2, 5])):
        seen = [chosen[place] for chosen in batches]
        for start in range(0, 12, len(share)):  # every round sees the share once
            assert sorted(seen[start : start + len(share)]) == share
    rounds = [tuple(Sampler(9, 1, seed=3)(9 * r + i, 0)[0] for i in range(9)) for r in range(4)]
    assert len({*rounds, tuple(range(9))}) == 5  # each in another order
    again = Sampler(7, 3, seed=3)(7, 1)
    assert (again[0], again[1].random()) == (batches[7][1], sampler(7, 1)[1].random())
    assert sampler(7, 1)[1].random() != sampler(7, 2)[1].random()
    assert Sampler(1, 4, seed=0).batch == 1


def test_every_step_and_place_and_seed_has_an_augmentation_of_its_own():
    """Also where they show the same scene."""
    drawn = [
        Sampler(scenes, 2, seed)(step, place)[1].random(3).tolist()
        for scenes, seed in ((2, 0), (2, 1))
        for step in range(8)
        for place in range(2)
    ]
    assert len({tuple(numbers) for numbers in drawn}) == len(drawn) == 32
    assert len({Sampler(2, 2, 0)(step, 0)[0] for step in range(8)}) == 1
