"""The commands. Their parsers load nothing heavy: `cancorderctl completion` needs them all."""
