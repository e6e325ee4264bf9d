from workbench.cli.tour import STOPS
from workbench.edits import parse_edits
from workbench.experiments import experiment
from workbench.params import make_params


def test_every_stop_is_an_experiment_that_can_be_run():
    for stop in STOPS:
        definition = experiment(stop.experiment)
        make_params(definition.params, stop.params)
        parse_edits(stop.edits)


def test_a_stop_stands_under_one_before_it():
    for number, stop in enumerate(STOPS, 1):
        assert stop.parent is None or stop.parent < number
