{#- Settings of a run. DuckDB has them as variables, which need no new parse; elsewhere dbt's vars. -#}

{% macro top_n() %}
  {{ return(adapter.dispatch('top_n', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__top_n() %}
  {{ return("cast(getvariable('top_n') as integer)") }}
{% endmacro %}

{% macro default__top_n() %}
  {{ return("cast(" ~ var('top_n', 20) ~ " as integer)") }}
{% endmacro %}


{#- A condition: the port is left out of the ranking. -#}
{% macro is_excluded_port(port) %}
  {{ return(adapter.dispatch('is_excluded_port', 'flow_pipeline')(port)) }}
{% endmacro %}

{% macro duckdb__is_excluded_port(port) %}
  {{ return("coalesce(list_contains(cast(getvariable('top_excluded_ports') as integer[]), " ~ port ~ "), false)") }}
{% endmacro %}

{% macro default__is_excluded_port(port) %}
  {%- set ports = var('top_excluded_ports', []) -%}
  {{ return(port ~ " in (" ~ ports | join(', ') ~ ")" if ports else "false") }}
{% endmacro %}


{#- The end of the unbroken complete hours of the day that is being built. -#}
{% macro complete_through() %}
  {{ return(adapter.dispatch('complete_through', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__complete_through() %}
  {{ return("cast(getvariable('complete_through') as timestamp)") }}
{% endmacro %}

{% macro default__complete_through() %}
  {{ return("cast(" ~ var('complete_through', 'null') ~ " as timestamp)") }}
{% endmacro %}


{#- The rows (nic, online_at) of the times at which machines came online, until the end of the day. -#}
{% macro online_times() %}
  {{ return(adapter.dispatch('online_times', 'flow_pipeline')()) }}
{% endmacro %}

{% macro duckdb__online_times() %}
  {{ return(
      "(select entry.nic, entry.online_at from (select unnest(cast(getvariable('online_times') "
      ~ "as struct(nic varchar, online_at timestamp)[])) as entry) as entries)"
  ) }}
{% endmacro %}

{% macro default__online_times() %}
  {%- set rows = [] -%}
  {%- for time in var('online_times', []) -%}
    {%- do rows.append("select '" ~ time[0] ~ "' as nic, cast('" ~ time[1] ~ "' as timestamp) as online_at") -%}
  {%- endfor -%}
  {{ return(
      "(" ~ (rows | join(" union all ") if rows
      else "select cast(null as string) as nic, cast(null as timestamp) as online_at where false") ~ ")"
  ) }}
{% endmacro %}
