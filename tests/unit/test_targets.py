"""Which targets each task accepts, and what it says about the others."""

import math

import numpy as np
import pytest
import torch

from objectives import binary, multiclass, regression
from objectives._task import TaskKind, load_task
from storage.errors import DataError

NAMES = ("gamma", "electron", "muon")


def made(kind: TaskKind, raw, *, names=None, **options):
    raw = np.asarray(raw)
    chosen = kind.options(**options)
    return kind.create(chosen, kind.summarise(chosen, raw, raw, names))


def test_classes_are_the_distinct_labels_in_ascending_order():
    task = made(multiclass.TASK, [7, 2, 2, 7, 40, 40])

    assert task.classes == ("2", "7", "40")
    assert task.encode(np.array([40, 2, 7])).tolist() == [2, 0, 1]


@pytest.mark.parametrize("dtype", ["uint8", "<i4", ">i8", "float32", "bool"])
def test_labels_of_any_numeric_dtype_are_read(dtype):
    task = made(multiclass.TASK, np.array([0, 1, 1, 0], dtype=dtype))

    assert task.classes == ("0", "1")


def test_classes_take_the_names_of_their_labels_and_unselected_ones_are_left_out():
    task = made(multiclass.TASK, [1, 2, 2, 1], names=NAMES)

    assert task.classes == ("electron", "muon")
    assert task.columns == ("probability_electron", "probability_muon")


def test_names_of_the_options_win_over_those_of_the_file():
    task = made(multiclass.TASK, [0, 1, 0, 1], names=NAMES, class_names=("noise", "signal"))

    assert task.classes == ("noise", "signal")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([0, 1, -1, 1, 0], r"1 of 5 labels are -1;"),
        ([0.0, 0.5, 1.0, 0.5], r"2 of 4 labels are 0\.5;"),
        ([0.0, math.nan, 1.0, math.inf], r"2 of 4 labels are inf, nan;"),
        ([0, 0, 1, 1, 5], r"of 5 there is only one event each"),
        ([3, 3, 3], r"all 3 labels are 3;"),
    ],
)
def test_labels_that_are_no_classes_are_refused_with_their_values_and_number(raw, message):
    with pytest.raises(DataError, match=message):
        made(multiclass.TASK, raw)


def test_labels_beyond_the_class_names_are_refused():
    with pytest.raises(DataError, match=r"2 of 6 labels are 3, but there are 3 class names \(gamma, electron, muon\)"):
        made(multiclass.TASK, [0, 0, 1, 1, 3, 3], names=NAMES)


def test_a_label_that_is_no_class_of_the_task_cannot_be_encoded():
    task = made(multiclass.TASK, [0, 0, 2, 2])

    with pytest.raises(DataError, match=r"1 of 2 labels are 1; the classes of this task are 0, 2"):
        task.encode(np.array([0, 1]))


@pytest.mark.parametrize("names", [("only",), ("a", ""), ("a", "a"), "ab"])
def test_class_names_that_tell_nothing_apart_are_refused(names):
    with pytest.raises(ValueError, match="class_names"):
        multiclass.MulticlassOptions(class_names=names)


def test_the_larger_of_two_labels_is_positive_by_default():
    task = made(binary.TASK, [4, 9, 9, 4])

    assert task.encode(np.array([4, 9])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "classes"),
    [
        ({"positive": "electron", "negative": "muon"}, ("muon", "electron")),
        ({"positive": 1, "negative": 2}, ("muon", "electron")),
        ({"positive": 1}, ("muon", "electron")),
        ({"negative": "muon"}, ("muon", "electron")),
        ({"positive": "muon"}, ("electron", "muon")),
    ],
)
def test_the_positive_class_is_named_by_label_or_name(options, classes):
    task = made(binary.TASK, [1, 2, 2, 1], names=NAMES, **options)

    assert task.classes == classes
    assert task.columns == (f"probability_{classes[1]}",)
    assert task.encode(np.array([1, 2])).tolist() == [int(classes[1] == "electron"), int(classes[1] == "muon")]


def test_two_named_classes_are_the_ones_to_select_whatever_else_the_file_holds():
    raw = np.array([-1, 0, 1, 2])
    options = binary.BinaryOptions(positive="muon", negative="gamma")

    assert binary.TASK.classes(options, raw, NAMES) == (0, 2)
    assert multiclass.TASK.classes(multiclass.MulticlassOptions(), raw, NAMES) is None


def test_one_class_of_three_is_not_enough_to_name():
    with pytest.raises(DataError, match=r"labels that occur are 0, 1, 2; .* name them with `positive` and `negative`"):
        binary.TASK.classes(binary.BinaryOptions(positive=2), np.array([0, 1, 2]), None)


def test_events_of_a_third_class_are_refused():
    with pytest.raises(DataError, match=r"2 of 6 labels are 0; the classes of this task are 1, 2"):
        made(binary.TASK, [0, 0, 1, 1, 2, 2], positive=2, negative=1)


def test_a_class_without_events_is_refused():
    with pytest.raises(DataError, match="no event has the label 2; the labels that occur are 0, 1"):
        made(binary.TASK, [0, 1, 1, 0], names=NAMES, positive="muon")


def test_an_unknown_class_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"there is no class 'muons'.*did you mean 'muon'"):
        made(binary.TASK, [0, 1, 1, 0], names=NAMES, positive="muons")


def test_a_class_name_without_names_in_the_file_is_refused():
    with pytest.raises(ValueError, match="give its label"):
        made(binary.TASK, [0, 1, 1, 0], positive="muon")


def test_the_same_class_twice_is_refused_also_under_two_names():
    with pytest.raises(ValueError, match="two classes"):
        binary.BinaryOptions(positive=1, negative=1)
    with pytest.raises(ValueError, match="two classes"):
        made(binary.TASK, [0, 1, 1, 0], names=NAMES, positive=1, negative="electron")


@pytest.mark.parametrize("target", ["standardised", "log"])
def test_predictions_undo_what_encoding_did(target):
    raw = np.random.default_rng(0).uniform(10, 1000, (50, 1))
    task = made(regression.TASK, raw, target=target)
    encoded = torch.from_numpy(task.encode(raw))

    assert encoded.mean().item() == pytest.approx(0, abs=1e-6)
    assert encoded.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(task.predict(encoded).numpy(), raw, rtol=1e-5)


def test_the_scale_comes_from_the_training_events_alone():
    raw = np.array([1.0, 3.0, 1000.0])

    assert regression.TASK.summarise(regression.RegressionOptions(), raw, raw[:2], None) == {"mean": 2, "deviation": 1}


def test_huber_loss_is_linear_beyond_delta():
    task = made(regression.TASK, [0.0, 1.0], loss="huber", delta=0.5)
    zero = torch.zeros(2, 1)

    losses = task.loss(torch.tensor([[0.4], [10.0]]), zero)

    torch.testing.assert_close(losses, torch.tensor([0.5 * 0.4**2, 0.5 * (10 - 0.25)]))


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        ([1.0, math.nan, 2.0], {}, r"1 of 3 targets are nan; accepted are finite numbers;"),
        ([1.0, 0.0, -2.0], {"target": "log"}, r"2 of 3 targets are -2\.0, 0\.0; .* or set target: standardised"),
        ([5.0, 5.0], {}, r"all 2 training targets are equal"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(raw, options, message):
    with pytest.raises(DataError, match=message):
        made(regression.TASK, raw, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "l1"}, "loss is 'l1'; accepted are mse, huber"),
        ({"target": "sqrt"}, "target is 'sqrt'; accepted are standardised, log"),
        ({"delta": 0.0}, "delta is 0.0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        regression.RegressionOptions(**options)


def test_a_users_task_is_loaded_from_a_file_and_may_not_take_a_known_name(tmp_path):
    body = "from dataclasses import replace\nfrom objectives.multiclass import TASK\nMine = replace(TASK, name='{}')\n"
    (tmp_path / "mine.py").write_text(body.format("mine"))
    (tmp_path / "clash.py").write_text(body.format("binary"))

    assert load_task("mine.py:Mine", folder=tmp_path).name == "mine"
    with pytest.raises(ValueError, match="is named 'binary', as is one of ours"):
        load_task("clash.py:Mine", folder=tmp_path)


def test_an_unknown_task_is_answered_with_the_accepted_ones():
    with pytest.raises(ValueError, match=r"'binry' is unknown.*did you mean 'binary'"):
        load_task("binry")
