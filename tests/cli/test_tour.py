from workbench.cli.tour import TOUR_STEPS
from workbench.edits import parse_edits
from workbench.experiments import experiment
from workbench.params import make_params


def test_every_stop_is_an_experiment_that_can_be_run():
    for step in TOUR_STEPS:
        definition = experiment(step.experiment)
        make_params(definition.params, step.params)
        parse_edits(step.edits)


def test_a_stop_stands_under_one_before_it():
    for number, step in enumerate(TOUR_STEPS, 1):
        assert step.parent is None or step.parent < number
