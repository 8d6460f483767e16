"""Inputs of `delegraph collect`: records as they are written, sent or published, each until the log has it."""
