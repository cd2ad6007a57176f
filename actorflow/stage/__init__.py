"""What a user subclasses, and the machine that drives it: frames in, work out, frames out."""
