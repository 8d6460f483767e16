"""The inputs of `delegraph collect`: records as they are written, sent or published, each kept until the log has it."""
