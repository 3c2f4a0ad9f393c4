-- A job of another queue, or a batch, has ended: notify the jobs here that wait for it.
--
-- KEYS  1 prefix
-- ARGV  1 its id  2 its state  3 its result (JSON) or ''  4 ms for which that is kept
-- Returns  how many wait for it

local id, remote, children = ARGV[1], P .. KEY.remote_children .. ARGV[1], P .. KEY.children .. ARGV[1]
allow_when_full()
local waiting = redis.call('LLEN', remote)
if waiting == 0 then
  return 0
end
if ARGV[3] ~= '' and tonumber(ARGV[4]) > 0 then
  redis.call('SET', P .. KEY.parent_result .. id, ARGV[3], 'PX', ARGV[4])
end
-- From now on they are like the children of a job that was here.
if redis.call('EXISTS', children) == 0 then
  redis.call('RENAME', remote, children)
else
  for _ = 1, waiting do
    redis.call('LMOVE', remote, children, 'LEFT', 'RIGHT')
  end
end
redis.call('SADD', P .. KEY.families, id)
redis.call('RPUSH', P .. KEY.telling, (SUCCEEDED[ARGV[2]] and '+' or '-') .. id .. ' ')
wake_scheduler(now)
return waiting
