{#- Measures, their limits and closed lists, one definition for all models. -#}

{% macro flow_measures() %}
cast(sum(flows) as bigint) as flows,
    cast(sum(tuples) as bigint) as tuples,
    cast(sum(case when decision = 'A' then flows else 0 end) as bigint) as allowed,
    cast(sum(case when decision = 'D' then flows else 0 end) as bigint) as denied,
    cast(sum(malicious) as bigint) as malicious,
    {{ known_bytes() }} as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets,
    cast(sum(attempts) as bigint) as attempts,
    cast(sum(counted) as bigint) as counted,
    cast(sum(counted_bytes) as bigint) as counted_bytes
{% endmacro %}


{#- An hour is busy if more of its minutes than these have records: then one without is remarkable. -#}
{% macro busy_minutes() %}
  {{ return("30") }}
{% endmacro %}


{#- Where a share of the values lies below; between two values as far as the share is between them. -#}
{% macro quantile(value, share) %}
  {{ return("cast(percentile_cont(" ~ share ~ ") within group (order by " ~ value ~ ") as double)") }}
{% endmacro %}


{#- The same from rows that hold one source each, so that sources are counted once. -#}
{% macro measures_of_sources() %}
{{ sums_of(['flows', 'tuples', 'allowed', 'denied', 'malicious']) }},
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct case when allowed > 0 then src_ip end) as bigint) as allowed_sources,
    cast(count(distinct case when denied > 0 then src_ip end) as bigint) as denied_sources,
    {{ sums_of(['attempts', 'counted']) }}
{% endmacro %}


{#- The first measures of the flows of one source, for measures_of_sources to add up. -#}
{% macro measures_of_a_source() %}
sum(flows) as flows,
        sum(tuples) as tuples,
        sum(case when decision = 'A' then flows else 0 end) as allowed,
        sum(case when decision = 'D' then flows else 0 end) as denied,
        sum(malicious) as malicious,
        sum(attempts) as attempts,
        sum(counted) as counted
{% endmacro %}


{#- A source makes a burst with so many new flows in an hour, if they are that share of all. -#}
{% macro burst_flows() %}
  {{ return("100") }}
{% endmacro %}

{% macro burst_share() %}
  {{ return("0.05") }}
{% endmacro %}


{#- The encryption codes that Azure documents for VNet flow logs. -#}
{% macro known_encryption_codes() %}
  {{ return("'X', 'NX', 'NX_HW_NOT_SUPPORTED', 'NX_SW_NOT_READY', 'NX_NOT_ACCEPTED', 'NX_NOT_SUPPORTED', 'NX_LOCAL_DST', 'NX_FALLBACK', 'NX_ALL'") }}
{% endmacro %}
