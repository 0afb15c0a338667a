"""What writes golden values is no test, and what it imports is not there when tests run."""

collect_ignore = ["cases.py", "files.py", "keras_values.py", "ours.py", "torch_values.py"]
