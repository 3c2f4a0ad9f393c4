-- Stop a gradual redrive. Jobs that were redriven already are not affected.
--
-- KEYS  1 prefix
-- ARGV  1 id
-- Returns  STOPPED, MISSING, or the state that it had ended in before

return stop_operation(KEY.redrives, P .. KEY.redrive .. ARGV[1], ARGV[1])
