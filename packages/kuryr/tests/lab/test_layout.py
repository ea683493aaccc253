from pathlib import Path

from kuryr.lab.layout import Layout


def test_the_cache_follows_xdg_and_home_and_the_state_can_be_moved() -> None:
    assert Layout.of({"HOME": "/h"}).kube_bin == Path("/h/.cache/kuryr-lab/bin")
    assert Layout.of({"HOME": "/h", "XDG_CACHE_HOME": "/x"}).cache == Path("/x/kuryr-lab")
    assert Layout.of({"KURYR_LAB_STATE": "/s"}).state == Path("/s")


def test_everything_that_runs_is_below_the_state_folder_and_every_namespace_has_our_name() -> None:
    layout = Layout.of({"HOME": "/h", "KURYR_LAB_STATE": "/s"})
    for node in layout.nodes:
        assert layout.ovsdb(node).is_relative_to("/s")
        assert node.netns.startswith("kuryr-")
    assert layout.kubeconfig().is_relative_to("/s")
