-- Stop a gradual redrive. What was redriven goes on.
--
-- KEYS  1 prefix
-- ARGV  1 id
-- Returns  STOPPED, MISSING, or the state that it had ended in before

local state = redis.call('HGET', P .. KEY.redrive .. ARGV[1], 'state')
if not state then
  return 'MISSING'
end
if state ~= 'canary' and state ~= 'running' then
  return state
end
end_redrive(ARGV[1], 'stopped', 'by hand')
return 'STOPPED'
