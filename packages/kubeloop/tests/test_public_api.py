"""What `import kubeloop` promises."""

import inspect

import kubeloop


def test_every_exported_name_is_there_and_listed_once() -> None:
    assert len(set(kubeloop.__all__)) == len(kubeloop.__all__)
    assert [name for name in kubeloop.__all__ if not hasattr(kubeloop, name)] == []


def test_every_exported_name_and_its_public_methods_are_documented() -> None:
    missing = []
    for name in kubeloop.__all__:
        exported = getattr(kubeloop, name)
        if not (inspect.isclass(exported) or inspect.isroutine(exported)):
            continue  # a constant or an alias: its module says what it is
        if not (exported.__dict__.get("__doc__") if inspect.isclass(exported) else exported.__doc__):
            missing.append(name)
        if inspect.isclass(exported) and exported.__module__.startswith("kubeloop"):
            missing += [
                f"{name}.{method}"
                for method, function in vars(exported).items()
                if not method.startswith("_") and inspect.isfunction(function) and not function.__doc__
            ]
    assert missing == []
