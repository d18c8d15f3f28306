"""A trained model as the codec sees it: the model file, the store of models, networks in the runtime."""
