-- What is done to the jobs of a batch gradually: entries for their queues, some hundred ids each.
local PROBING, CANCELLING, REDRIVING = 'probe', 'cancel', 'redrive'
