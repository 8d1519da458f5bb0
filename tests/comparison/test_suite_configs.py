"""The systems of a suite become configs beside its results."""

from dataclasses import replace

import pytest
from helpers.resolved_configs import load_config, written_systems
from mmengine.config import Config

from paco_seg.comparison.study import System, resolved_config
from paco_seg.comparison.suite_configs import write_configs
from paco_seg.comparison.suites import SUITES

EXAMPLES = {
    'demo-seg': 'quickstart/gpaco-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py',
    'demo-cls': 'quickstart/gpaco_resnet8_1xb32-300i_digits-lt-ir50.py',
}


@pytest.mark.parametrize('suite', EXAMPLES)
def test_the_example_config_is_the_system_of_the_suite(suite):
    """``configs/quickstart`` shows GPaCo of each task by hand, for readers and `_base_`."""
    written = resolved_config(written_systems(suite)['gpaco'].config, {})
    assert written == load_config(EXAMPLES[suite]).to_dict()


def test_written_configs_stand_below_the_folder_and_name_the_frequencies(tmp_path):
    suite = SUITES['demo-seg']
    known = {system.name: system for system in suite.study.systems}
    chosen = [known[name] for name in ('ce', 'gpaco', 'gpaco-region-rebalance')]
    ce, gpaco, both = write_configs(chosen, tmp_path, 'counts.json')
    assert ce == known['ce']  # the demo config is a file already
    assert gpaco == replace(known['gpaco'], config=str(tmp_path / 'configs' / 'gpaco.py'))
    head = Config(resolved_config(gpaco.config, {})).model.decode_head
    assert 'frequency_file' not in head.loss_contrast
    head = Config(resolved_config(both.config, {})).model.decode_head
    assert head.loss_contrast.frequency_file is None
    assert head.training_branches.region_rebalance.frequency_file == 'counts.json'


def test_overrides_are_part_of_the_file(tmp_path):
    reslt = {system.name: system for system in SUITES['demo-cls'].study.systems}['reslt']
    (written,) = write_configs([replace(reslt, overrides={'model.head.branch': 'norm'})], tmp_path)
    found = Config(resolved_config(written.config, {}))
    assert found.model.head.branch == 'norm'
    assert found.model.head.loss.groups == (7, 4)


def test_an_unknown_system_is_refused(tmp_path):
    config = SUITES['demo-cls'].study.systems[0].config
    with pytest.raises(ValueError, match=r"system: expected one of ce, .*, got 'nonsense'"):
        write_configs([System('ours', 'Ours', config, registered='nonsense')], tmp_path)
    assert list(tmp_path.iterdir()) == []
