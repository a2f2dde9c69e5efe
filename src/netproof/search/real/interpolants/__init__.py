"""Half-spaces of the values of one hidden layer that part what the layer can be from what the output's condition needs."""
