"""A settings file with named sources, and the command line that reads it."""

import json

from tests.support.desk import Desk, invoke


class Configured(Desk):
    """A desk with a settings file."""

    def settings(self, text: str) -> None:
        (self.folder / "delegraph.toml").write_text(text, encoding="utf-8")

    def run(self, *words, exit=0, stdin=None):
        config = self.folder / "delegraph.toml"
        env = {"DELEGRAPH_CONFIG": str(config)} if config.exists() else {}
        result = invoke(*words, "--store", self.url, *self.options, stdin=stdin, env=env)
        assert exit == result.exit_code, result.output
        return result

    def log(self, *records, name="audit.log") -> str:
        file = self.folder / name
        file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return str(file)
