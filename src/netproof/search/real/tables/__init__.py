"""Tables in a network: a question for every row that can be looked up."""
