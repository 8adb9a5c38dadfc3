"""How much load services bear: a simulation, formulas to hold it to, and the real queue to compare it with."""
