"""A trained model as the codec sees it: model file, ONNX sessions, exact hyper-synthesis."""
