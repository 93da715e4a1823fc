"""Networks of other frameworks, and ours for other programs: NIR, ONNX and torch.export."""
