-- Keep what an attempt has used, e.g. '12.500 0.250 44040192': ms of CPU time in the handler's code and in the system, and
-- the peak of its memory in bytes, 0 if not known; for a job with files also their class, which is counted separately.
-- Buckets of memory are quarters of powers of two: number 4 ends at 2 MiB.
local function observe_usage(job_type, usage)
  local user, system, peak, file_class = string.match(usage, '^([%d.]+) ([%d.]+) (%d+) ?(%d*)$')
  if not user then
    return
  end
  observe('cpu', job_type, user + system, 1)
  if peak ~= '0' then
    local key, mib = P .. KEY.latencies .. job_type, peak / 2 ^ 20
    local bucket = math.max(math.ceil(math.log(mib) / math.log(2) * 4), 0)
    redis.call('HINCRBY', key, 'memory:' .. bucket, 1)
    redis.call('HINCRBY', key, 'memory:sum', peak)
    if file_class ~= '' then
      redis.call('HINCRBY', key, 'memory/' .. file_class .. ':' .. bucket, 1)
    end
  end
end
