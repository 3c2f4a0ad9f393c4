-- Stop a cancellation of many jobs. Jobs that were cancelled already stay cancelled.
--
-- KEYS  1 prefix
-- ARGV  1 id
-- Returns  STOPPED, MISSING, or the state that it had ended in before

return stop_operation(KEY.cancellations, P .. KEY.cancellation .. ARGV[1], ARGV[1])
