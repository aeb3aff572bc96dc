"""What a training is likely to give and to cost, before anything is rented: arithmetic over plain numbers."""
