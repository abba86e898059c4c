-- Texts read by a pattern.
select to_date('2024-02-29', 'YYYY-MM-DD'), to_date('20240229', 'YYYYMMDD'), to_date('29 Feb 2024', 'DD Mon YYYY'), to_date('February 5, 2024', 'Month DD, YYYY');
select to_date('05/02/24', 'DD/MM/YY'), to_date('2024-060', 'YYYY-DDD'), to_date('2024-W09-4', 'IYYY-"W"IW-ID'), to_date('1/2/2024', 'MM/DD/YYYY');
select to_timestamp('2024-02-29 13:04:05', 'YYYY-MM-DD HH24:MI:SS'), to_timestamp('2024-02-29 01:04:05 PM', 'YYYY-MM-DD HH12:MI:SS AM'), to_timestamp('2024-02-29 13:04:05.678', 'YYYY-MM-DD HH24:MI:SS.MS');
select to_timestamp('2024-02-29 13:04:05.678901', 'YYYY-MM-DD HH24:MI:SS.US'), to_timestamp('13:04', 'HH24:MI') is null, to_timestamp('2024-02-29 13:04:05+02', 'YYYY-MM-DD HH24:MI:SSTZH');
select to_timestamp(1709208000), to_timestamp(1709208000.5), to_timestamp(-1), to_timestamp(0::float8), to_timestamp(null::float8);
select to_date('2024-13-01', 'YYYY-MM-DD');
select to_date('2024-02-30', 'YYYY-MM-DD');
select to_date('abc', 'YYYY-MM-DD');
select to_timestamp('2024-02-29 25:00', 'YYYY-MM-DD HH24:MI');
select to_date('2024', 'YYYY'), to_date('2024-05', 'YYYY-MM'), to_date(null, 'YYYY');
select to_number('1,234.56', '9,999.99'), to_number('12,454.8-', '99G999D9S'), to_number('-34,338,492', '99G999G999'), to_number('485', '999'), to_number('$1,234.50', 'L9,999.99'), to_number('<485>', '999PR');
select to_number('1234.567', '9999.9'), to_number('', '999') is null, to_number(null, '999'), to_number('  12', '9999'), to_number('-5', 'S9'), to_number('5-', '9MI');
select to_number('abc', '999');
