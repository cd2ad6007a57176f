"""The contract between two stages: messages, codecs, the demand window, delivery. No I/O."""
