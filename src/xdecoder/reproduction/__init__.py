"""The paper's findings measured again in the drawn world: `xdecoder reproduce`."""
