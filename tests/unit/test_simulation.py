import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from study.simulation import _cones, _electronics, _geometry, _kinematics, _light, _particles, events
from study.simulation import _constants as c
from study.simulation._emission import Emission, tilt

AXIS = np.array([[1.0, 0.0, 0.0]])


def _events(count, seed, block=48):
    blocks = list(events.simulate(count, seed, block=block))
    return {name: np.concatenate([each[name] for each in blocks]) for name in blocks[0]}


def _charge(image):
    return image[..., : c.PMTS].sum(axis=(1, 2, 3))


def _repeated(particle, energy, count, vertex=(0.0, 0.0, 0.0)):
    rng = np.random.default_rng(0)
    vertices, directions = np.tile(vertex, (count, 1)), np.repeat(AXIS, count, axis=0)
    return particle(vertices, directions, np.full(count, float(energy)), rng)


def _piece(width=0.02, photo_electrons=1000.0, direction=(1.0, 0.0, 0.0)):
    one = np.ones((1, 1))
    return Emission.in_water(
        positions=np.zeros((1, 1, 3)),
        directions=np.reshape(direction, (1, 1, 3)),
        times=0 * one,
        photo_electrons=photo_electrons * one,
        cosines=one / c.REFRACTIVE_INDEX,
        spreads=width * one,
        lengths=5 * one,
    )


@pytest.fixture(scope="module")
def sample():
    return _events(1200, seed=1)


# Kinematics


def test_electrons_shine_from_0_26_mev_and_muons_from_53_mev():
    assert _kinematics.threshold(c.ELECTRON_MASS) == pytest.approx(0.26, abs=0.01)
    assert _kinematics.threshold(c.MUON_MASS) == pytest.approx(53.1, abs=0.1)


def test_the_thresholds_are_where_the_speed_is_that_of_light_in_water():
    for mass in (c.ELECTRON_MASS, c.MUON_MASS):
        assert _kinematics.beta(np.array(_kinematics.threshold(mass)), mass) == pytest.approx(1 / c.REFRACTIVE_INDEX)


def test_the_cone_of_a_fast_particle_opens_to_41_or_42_degrees():
    angle = np.degrees(np.arccos(_kinematics.cherenkov_cosine(np.array(1.0))))

    assert 41 < angle < 42


def test_the_cone_closes_and_its_light_fades_towards_the_threshold():
    speeds = np.array([0.7, 1 / c.REFRACTIVE_INDEX, 0.8, 0.9, 1.0])

    light = _kinematics.light_yield(_kinematics.cherenkov_cosine(speeds))

    assert light[0] == light[1] == pytest.approx(0)
    assert np.all(np.diff(light[1:]) > 0)


def test_a_fast_particle_emits_some_340_photons_per_cm_between_300_and_600_nm():
    sine_square = 1 - 1 / c.REFRACTIVE_INDEX**2

    assert c.PHOTONS_PER_LENGTH * sine_square == pytest.approx(340, abs=10)


def test_a_muon_loses_2_mev_per_cm_at_least():
    loss = _kinematics.stopping_power(np.geomspace(50, 2000, 500))

    assert loss.min() == pytest.approx(1.98, rel=0.005)


@pytest.mark.parametrize(
    ("kinetic", "length"), [(200.0, 78.94), (400.0, 179.6), (800.0, 377.1), (1000.0, 473.2), (1400.0, 661.1)]
)
def test_muons_range_out_as_in_the_table_of_the_particle_data_group(kinetic, length):
    assert float(_kinematics.muon_range(kinetic)) == pytest.approx(length, rel=0.005)


def test_the_energy_left_is_the_inverse_of_the_range():
    kinetic = np.linspace(5, 2000, 50)

    assert _kinematics.muon_energy(_kinematics.muon_range(kinetic)) == pytest.approx(kinetic, rel=1e-3)


# Geometry


def test_the_modules_of_a_row_go_round_the_barrel_evenly():
    places = _geometry.MODULE_CENTRES.reshape(c.ROWS, c.COLUMNS, 3)

    steps = np.linalg.norm(np.roll(places, -1, axis=1) - places, axis=2)

    assert steps == pytest.approx(np.full(steps.shape, steps[0, 0]), rel=1e-4)  # column 39 is next to column 0


def test_the_first_row_is_the_highest():
    heights = _geometry.MODULE_CENTRES.reshape(c.ROWS, c.COLUMNS, 3)[:, 0, 1]

    assert np.diff(heights) == pytest.approx(np.full(c.ROWS - 1, -c.ROW_PITCH), rel=1e-5)
    assert heights.sum() == pytest.approx(0, abs=1e-3)


def test_the_tubes_are_a_centre_and_two_rings_that_look_more_and_more_outwards():
    radius = np.hypot(*_geometry.PMT_OFFSETS[:, :2].T)
    tilt_angle = np.degrees(np.arccos(np.clip(_geometry.PMT_NORMALS[:, 2], -1, 1)))

    assert radius[0] == pytest.approx(0, abs=1e-4)
    assert radius[1:] == pytest.approx(np.repeat([radius[1], radius[7]], [6, 12]))
    assert radius[7] > radius[1] + 2 * c.PMT_RADIUS
    assert tilt_angle == pytest.approx(np.repeat([0, 18, 36], [1, 6, 12]), abs=0.1)


def test_no_two_tubes_overlap():
    tubes = _geometry.pmt_positions()[:2, :2].reshape(-1, 3)
    apart = np.linalg.norm(tubes[:, None] - tubes[None], axis=2)

    assert apart[~np.eye(len(tubes), dtype=bool)].min() > 2 * c.PMT_RADIUS


@pytest.mark.parametrize(
    ("permutation", "axis", "mirror"),
    [(_geometry.FLIP_HORIZONTAL, 1, [1, 1, -1]), (_geometry.FLIP_VERTICAL, 0, [1, -1, 1])],
)
def test_a_flip_of_the_image_with_its_permutation_of_tubes_is_a_mirror_image_of_the_detector(permutation, axis, mirror):
    tubes = _geometry.pmt_positions()

    flipped = np.flip(tubes, axis=axis)[:, :, permutation]

    assert flipped * mirror == pytest.approx(tubes, abs=1e-2)


def test_turning_into_a_modules_frame_makes_the_wall_lie_ahead():
    modules = np.arange(_geometry.MODULES)
    outwards = _geometry.MODULE_CENTRES * [1, 0, 1] / np.hypot(*_geometry.MODULE_CENTRES[:, [0, 2]].T)[:, None]

    turned = _geometry.to_module_frame(outwards.T, modules)

    assert turned == pytest.approx(np.tile([[0], [0], [-1]], _geometry.MODULES), abs=1e-5)


@pytest.mark.parametrize(
    ("direction", "distance"), [([1, 0, 0], 371), ([0, 1, 0], 521), ([0, -1, 0], 521), ([0, 0.6, 0.8], 371 / 0.8)]
)
def test_the_way_to_the_wall_ends_at_the_barrel_or_at_an_end(direction, distance):
    assert _geometry.distance_to_wall(np.zeros((1, 3)), np.array([direction])) == pytest.approx([distance])


# Particles


@pytest.mark.parametrize(
    ("particle", "energy"), [(_particles.electron, 0.2), (_particles.photon, 1.1), (_particles.muon, 50.0)]
)
def test_below_the_threshold_there_is_no_light(particle, energy):
    assert _repeated(particle, energy, 20).photo_electrons == pytest.approx(0)


@pytest.mark.parametrize("particle", [_particles.electron, _particles.photon])
def test_the_light_of_a_shower_grows_in_proportion_to_its_energy(particle):
    light = [_repeated(particle, energy, 500).photo_electrons.sum(axis=1).mean() for energy in (50, 100, 200)]

    assert light[1] / light[0] == pytest.approx(2, rel=0.1)
    assert light[2] / light[1] == pytest.approx(2, rel=0.1)


def test_a_pair_shares_the_energy_unequally_rather_than_equally():
    shares = _particles._pair_shares(100_000, np.random.default_rng(0))

    density = np.histogram(shares, bins=10, range=(0, 1), density=True)[0]
    middle = np.arange(0.05, 1, 0.1)
    assert density == pytest.approx(9 / 7 * (1 - 4 / 3 * middle * (1 - middle)), abs=0.05)


def test_a_muon_stops_shining_at_the_threshold_or_at_the_wall():
    contained = _repeated(_particles.muon, 300.0, 50)
    leaving = _repeated(_particles.muon, 1000.0, 50, vertex=(250.0, 0.0, 0.0))

    lit = float(_kinematics.muon_range(300.0) - _kinematics.muon_range(53.07))
    assert contained.lengths.sum(axis=1) == pytest.approx(np.full(50, lit), rel=1e-3)
    assert leaving.lengths.sum(axis=1) == pytest.approx(np.full(50, 121), rel=1e-3)


def test_the_cone_of_a_muon_closes_along_its_way():
    muon = _repeated(_particles.muon, 300.0, 1)

    assert np.all(np.diff(muon.cosines[0]) > 0)
    assert muon.cosines[0, -1] > 0.95


def test_a_photon_shines_after_nine_sevenths_of_a_radiation_length():
    photon = _repeated(_particles.photon, 500.0, 4000, vertex=(-300.0, 0.0, 0.0))

    start = photon.positions[:, 0, 0] - photon.lengths[:, 0] / 2 + 300
    assert start.mean() == pytest.approx(c.CONVERSION_LENGTH, rel=0.1)


def test_electrons_scatter_more_than_muons():
    def spread(particle):
        return np.degrees(np.arccos(np.clip(_repeated(particle, 400.0, 200).directions[..., 0], -1, 1))).mean()

    assert spread(_particles.electron) > 3 * spread(_particles.muon)


def test_a_tilt_turns_by_the_angle_asked_for_about_any_direction():
    directions = np.random.default_rng(0).standard_normal((100, 3))
    directions = np.vstack([directions / np.linalg.norm(directions, axis=1, keepdims=True), np.eye(3), -np.eye(3)])

    turned = tilt(directions, np.full(106, 0.03), np.full(106, 0.04))

    assert np.linalg.norm(turned, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.sum(turned * directions, axis=1) == pytest.approx(np.cos(0.05), abs=1e-5)


# Light


def test_a_ring_on_the_barrel_gets_the_share_of_light_that_the_photocathodes_cover():
    light = _light.illuminate(_piece(photo_electrons=1000.0, direction=(1.0, 0.0, 0.0)))

    covered = c.PMTS * np.pi * c.PMT_RADIUS**2 / (2 * np.pi * c.TANK_RADIUS / c.COLUMNS * c.ROW_PITCH)
    assert light.photo_electrons.sum() / 1000 == pytest.approx(covered, rel=0.15)


def test_the_ring_lies_at_the_cherenkov_angle():
    light = _light.illuminate(_piece(width=0.01))

    tubes = _geometry.pmt_positions().reshape(_geometry.MODULES, c.PMTS, 3)[light.modules]
    angle = np.degrees(np.arccos(tubes[..., 0] / np.linalg.norm(tubes, axis=2)))
    weights = light.photo_electrons.T
    assert np.average(angle, weights=weights) == pytest.approx(41.7, abs=0.5)
    assert np.sqrt(np.average((angle - 41.7) ** 2, weights=weights)) < 1.5


def test_wide_cones_give_each_tube_nearly_what_working_it_out_tube_by_tube_gives(monkeypatch):
    emission = _repeated(_particles.electron, 500.0, 10)
    quick = _light.illuminate(emission)
    monkeypatch.setattr(_light, "WIDE", 1e-9)
    exact = _light.illuminate(emission)

    difference = np.abs(quick.photo_electrons - exact.photo_electrons).sum()
    assert difference < 0.03 * exact.photo_electrons.sum()


def test_what_is_left_out_as_too_faint_is_less_than_a_hundredth(monkeypatch):
    emission = _repeated(_particles.electron, 300.0, 10)
    quick = _light.illuminate(emission).photo_electrons.sum()
    monkeypatch.setattr(_cones, "FAINTEST", 0.0)

    assert quick > 0.99 * _light.illuminate(emission).photo_electrons.sum()


def test_light_arrives_with_the_group_velocity():
    light = _light.illuminate(_piece())

    tubes = _geometry.pmt_positions().reshape(_geometry.MODULES, c.PMTS, 3)[light.modules]
    flight = np.linalg.norm(tubes, axis=2).T * c.GROUP_INDEX / c.SPEED_OF_LIGHT
    assert light.times == pytest.approx(flight, abs=0.2)


def test_pieces_outside_the_tank_give_no_light():
    outside = _repeated(_particles.electron, 500.0, 20, vertex=(500.0, 0.0, 0.0))

    assert not outside.photo_electrons.any()
    assert len(_light.illuminate(outside).modules) == 0


def test_pieces_of_different_shapes_are_refused():
    columns = {name: getattr(_piece(), name) for name in Emission.__dataclass_fields__}

    with pytest.raises(ValueError, match="differ in shape"):
        Emission(**{**columns, "times": np.zeros((1, 2), np.float32)})


# Electronics


def _flat_light(expected, modules=640):
    shape = (c.PMTS, modules)
    light = np.full(shape, expected, np.float32)
    return _light.Illumination(np.arange(modules), light, np.full(shape, 20, np.float32), np.zeros(modules, np.float32))


@pytest.mark.parametrize("expected", [0.1, 1.0, 10.0])
def test_photo_electrons_are_poisson_distributed(expected):
    _, number, _ = _electronics._direct_hits(_flat_light(expected), np.random.default_rng(0))

    counts = np.concatenate([number, np.zeros(_electronics.TUBES - len(number))])
    assert counts.mean() == pytest.approx(expected, rel=0.1)
    assert counts.var() == pytest.approx(expected, rel=0.1)


def test_a_single_photo_electron_is_measured_to_30_percent_and_a_hundred_to_3_percent():
    rng = np.random.default_rng(0)

    assert _electronics._charges(np.full(20000, 1), rng).std() == pytest.approx(0.30, rel=0.05)
    assert _electronics._charges(np.full(20000, 100), rng).std() == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize(("number", "mean", "deviation"), [(1, 0.0, 1.0), (2, -0.5642, 0.8256), (10, -1.5388, 0.5868)])
def test_the_first_of_many_photo_electrons_comes_early_and_sharply(number, mean, deviation):
    times = _electronics._earliest(np.full(50000, number), np.random.default_rng(0))

    assert times.mean() == pytest.approx(mean, abs=0.02)  # order statistics of the normal distribution
    assert times.std() == pytest.approx(deviation, rel=0.02)


def test_the_dark_rate_is_1_khz_uniformly_over_the_readout_window():
    tubes, times = _electronics._dark_hits(3000, np.random.default_rng(0))

    rate = len(tubes) / (3000 * _electronics.TUBES * c.READOUT_WINDOW)
    assert rate == pytest.approx(c.DARK_RATE, rel=0.05)
    assert times.mean() == pytest.approx(c.READOUT_WINDOW / 2, rel=0.05)


def test_a_dark_event_has_noise_only():
    dark = _light.illuminate(_repeated(_particles.muon, 50.0, 100))

    image = _electronics.digitise(dark, 100, np.random.default_rng(0))

    hits = (image[..., : c.PMTS] > 0).sum() / 100
    assert hits == pytest.approx(c.DARK_RATE * c.READOUT_WINDOW * _electronics.TUBES, rel=0.2)


def test_a_noise_hit_on_a_hit_tube_adds_its_charge_and_keeps_the_earlier_time(monkeypatch):
    late = np.array([5]), np.array([250], np.float32)
    monkeypatch.setattr(_electronics, "_dark_hits", lambda events, rng: late)
    monkeypatch.setattr(_electronics, "_reflected_hits", lambda light, rng: late)
    monkeypatch.setattr(_electronics, "_charges", lambda number, rng: np.asarray(number, np.float32))
    light = _flat_light(100.0)

    image = _electronics.digitise(light, 1, np.random.default_rng(0))

    plain = _electronics._direct_hits(light, np.random.default_rng(0))[1]
    assert image[..., : c.PMTS].sum() == plain.sum() + 2
    assert image[0, 0, 0, c.PMTS + 5] < 25


def test_the_wall_sends_back_some_percent_of_the_light_later():
    light = _flat_light(10.0)

    tubes, times = _electronics._reflected_hits(light, np.random.default_rng(0))

    assert len(tubes) == pytest.approx(c.REFLECTED_FRACTION * light.photo_electrons.sum(), rel=0.05)
    assert times.min() >= 20
    assert 35 < times.mean() < 60  # some metres of way


# Events


def test_events_have_the_shapes_and_types_of_the_reference_format(sample):
    described = {name: (column.shape[1:], column.dtype) for name, column in sample.items()}

    assert described == {
        "event_data": ((16, 40, 38), np.float32),
        "labels": ((), np.int64),
        "energies": ((1,), np.float32),
        "positions": ((1, 3), np.float32),
        "angles": ((2,), np.float32),
    }


def test_an_event_depends_on_seed_and_place_only():
    whole = _events(150, seed=7)

    for count, block in ((100, 48), (100, 1), (100, 37), (100, 1000)):
        part = _events(count, seed=7, block=block)
        for name, column in part.items():
            assert np.array_equal(column, whole[name][:count]), (name, block)


def test_blocks_have_the_size_asked_for_and_the_last_one_the_rest():
    sizes = [len(block["labels"]) for block in events.simulate(100, 0, block=30)]

    assert sizes == [30, 30, 30, 10]


def test_another_seed_gives_other_events():
    assert not np.array_equal(_events(48, seed=0)["event_data"], _events(48, seed=1)["event_data"])


@pytest.mark.parametrize("count", [3, 30, 99])
def test_the_classes_are_equally_frequent_from_the_first_events_on(count):
    assert np.bincount(_events(count, seed=3)["labels"]).tolist() == [count // 3] * 3


def test_no_events_are_no_blocks():
    assert list(events.simulate(0, 0)) == []


@pytest.mark.parametrize("arguments", [{"count": -1}, {"seed": -1}, {"block": 0}])
def test_impossible_arguments_are_refused_with_what_is_accepted(arguments):
    name = next(iter(arguments))

    with pytest.raises(ValueError, match=f"{name} is .*; give"):
        events.simulate(**{"count": 3, "seed": 0, **arguments})


def test_the_truth_lies_in_the_stated_ranges(sample):
    energy, vertex, (theta, phi) = sample["energies"][:, 0], sample["positions"][:, 0], sample["angles"].T
    lowest = np.array([1.5, 0.2, 53])[sample["labels"]]

    assert np.all((energy > lowest) & (energy < lowest + 1001))
    assert np.hypot(vertex[:, 0], vertex[:, 2]).max() < 302
    assert np.abs(vertex[:, 1]).max() < 452
    assert np.abs(phi).max() <= np.pi
    assert np.cos(theta).mean() == pytest.approx(0, abs=0.06)


def test_light_comes_from_where_the_direction_points():
    ring = _events(600, seed=5)
    level = (np.abs(np.cos(ring["angles"][:, 0])) < 0.3) & (np.hypot(*ring["positions"][:, 0, [0, 2]].T) < 100)

    charge = ring["event_data"][level, :, :, : c.PMTS].sum(axis=(1, 3))
    azimuth = np.angle(charge @ np.exp(1j * _geometry.MODULE_ANGLES[: c.COLUMNS]))
    off = np.angle(np.exp(1j * (azimuth - ring["angles"][level, 1])))
    assert np.median(np.abs(off)) < np.radians(20)


def test_a_tube_has_a_time_exactly_when_it_has_a_charge(sample):
    charge, time = sample["event_data"][..., : c.PMTS], sample["event_data"][..., c.PMTS :]

    assert np.array_equal(charge > 0, time > 0)
    assert np.isfinite(sample["event_data"]).all()
    assert sample["event_data"].min() == 0


def test_no_light_comes_before_the_particle_itself_could(sample):
    time = sample["event_data"][..., c.PMTS :]
    tubes = _geometry.pmt_positions()[None] - sample["positions"][:, :, None, None]
    earliest = np.linalg.norm(tubes, axis=-1) / c.SPEED_OF_LIGHT

    early = (time > 0) & (time < earliest - 4 * c.TRANSIT_TIME_SPREAD)

    dark = _electronics.TUBES * c.DARK_RATE * earliest.mean()  # dark hits in an event before its light
    assert early.sum() / len(time) < dark


def test_events_have_some_hundreds_to_some_thousand_photo_electrons(sample):
    quantiles = np.quantile(_charge(sample["event_data"]), [0.1, 0.5, 0.9])

    assert 50 < quantiles[0] < quantiles[1] < quantiles[2] < 8000
    assert 500 < quantiles[1] < 3000


@pytest.mark.parametrize("label", [0, 1, 2])
def test_the_charge_grows_about_linearly_with_the_energy(sample, label):
    chosen = sample["labels"] == label
    energy, charge = sample["energies"][chosen, 0], _charge(sample["event_data"][chosen])
    low, high = (charge[(energy > a) & (energy < b)].mean() for a, b in ((300, 500), (600, 800)))

    assert 1.4 < high / low < 2.2


def test_simple_features_tell_muons_from_electrons_but_not_always():
    sample = _events(1500, seed=2)
    image = sample["event_data"]
    hits = (image[..., : c.PMTS] > 0).sum(axis=(1, 2, 3))
    modules = image[..., : c.PMTS].sum(axis=3)
    peak = (modules**2).sum(axis=(1, 2)) / np.maximum(modules.sum(axis=(1, 2)), 1)
    features = np.log1p(np.stack([_charge(image), hits, peak, (modules > 0).sum(axis=(1, 2))], axis=1))
    chosen = sample["labels"] > 0
    half = np.arange(chosen.sum()) < chosen.sum() // 2

    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        features[chosen][half], sample["labels"][chosen][half]
    )
    accuracy = model.score(features[chosen][~half], sample["labels"][chosen][~half])

    assert 0.7 < accuracy < 0.98
